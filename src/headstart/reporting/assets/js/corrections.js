// Buttons that decide about a sample, and the list of what was decided, to be downloaded.
(function (hs) {
  hs.canCorrect = (model) => Boolean(model.set && model.labelInfo);

  hs.whyNot = (model) =>
    model.set
      ? "Samples cannot be corrected here: the page knows no label column."
      : "Samples cannot be corrected here: the set that they are of is gone.";

  // Decision buttons of one sample; `after()` is called when one was taken.
  hs.DecisionBar = class DecisionBar {
    constructor(store, { withKeys = false, after = () => {} } = {}) {
      Object.assign(this, { store, withKeys, after, row: null, suggested: "" });
      this.element = hs.h("div", { class: "decision", tabindex: -1 });
      this.picker = null;
      this.isNoting = false;
    }

    show(row, suggested = "") {
      if (row !== this.row) {
        this.close();
        this.draft = ""; // a note is about one sample
      }
      Object.assign(this, { row, suggested });
      this.draw();
      return this.element;
    }

    close() {
      this.picker = null;
      this.isNoting = false;
    }

    decide(action, label = "") {
      if (this.row === null || !hs.canCorrect(this.store.model)) return;
      const before = this.store.decisions.get(this.row);
      this.close();
      this.store.decide(this.row, { action, label, note: before ? before.note : this.draft || "" });
      this.draft = "";
      this.after();
    }

    relabel() {
      if (this.row === null || !hs.canCorrect(this.store.model)) return;
      this.close();
      this.picker = hs.relabel(this.store, this.row, {
        suggested: this.suggested,
        take: (name) => this.decide("relabel", name),
        leave: () => this.leave("relabel"),
      });
      this.draw();
      this.picker.focus();
    }

    leave(action) {
      this.close();
      this.draw();
      const button = this.element.querySelector(`[data-action=${action}]`);
      if (button) button.focus();
    }

    note() {
      if (this.row === null || !hs.canCorrect(this.store.model)) return;
      this.close();
      this.isNoting = true;
      this.draw();
      this.element.querySelector(".note input").focus();
    }

    draw() {
      hs.keepFocus(this.element, () => this.fill());
    }

    fill() {
      const { store, row } = this;
      if (!hs.canCorrect(store.model))
        return void hs.replace(this.element, hs.h("p", { class: "about" }, hs.whyNot(store.model)));
      const decision = store.decisions.get(row);
      const is = (action) => Boolean(decision && decision.action === action);
      const make = (action, press) =>
        hs.button([hs.ACTIONS[action], this.key(action[0])], press, {
          "aria-pressed": String(is(action)),
          class: action,
          "data-action": action,
        });
      hs.replace(
        this.element,
        hs.h(
          "div",
          { class: "actions", role: "group", "aria-label": "Decide about this sample" },
          make("keep", () => this.decide("keep")),
          make("relabel", () => this.relabel()),
          make("drop", () => this.decide("drop")),
          make("unsure", () => this.decide("unsure")),
          hs.button(["Note", this.key("n")], () => this.note(), { class: "quiet", "data-action": "note" }),
        ),
        decision ? this.standing(decision) : null,
        this.isNoting ? this.noteField(decision) : null,
        this.picker ? this.picker.element : null,
      );
    }

    key(letter) {
      return this.withKeys ? hs.h("kbd", { "aria-hidden": "true" }, letter.toUpperCase()) : null;
    }

    standing(decision) {
      return hs.h(
        "p",
        { class: "standing" },
        "Decided: ",
        hs.decisionWords(decision),
        hs.button("Take it back", () => this.store.decide(this.row, null), { class: "link" }),
      );
    }

    noteField(decision) {
      const input = hs.h("input", { type: "text", dir: "auto", maxlength: 2000 });
      input.value = decision ? decision.note || "" : this.draft || "";
      const done = () => {
        if (decision) this.store.decide(this.row, { ...decision, note: input.value });
        else this.draft = input.value; // kept for the decision that follows
        this.leave("note");
      };
      input.addEventListener("keydown", (event) => {
        if (event.key === "Enter") {
          event.preventDefault(); // or it would press the button that gets the focus
          done();
        }
        if (event.key !== "Escape") return;
        event.stopPropagation();
        this.leave("note");
      });
      const field = hs.field("Note", input, { class: "field note" });
      field.append(hs.button("Save the note", done, { class: "quiet" }));
      return field;
    }
  };

  hs.decisionWords = ({ action, label, note }) =>
    hs.h(
      "span",
      { class: "decision-words" },
      hs.h("span", { class: `decided ${action}` }, hs.ACTIONS[action]),
      action === "relabel" ? [" ", hs.name(label, 40)] : null,
      note ? hs.h("span", { class: "muted" }, " – ", hs.name(note, 60)) : null,
    );

  // All decisions, the last first, each of which can be taken back.
  hs.DecisionList = class DecisionList {
    constructor(store) {
      this.store = store;
      this.start = 0;
      this.element = hs.h("section", { class: "decisions", "aria-label": "Decisions" });
      this.update();
    }

    update() {
      const { store } = this;
      const all = [...store.decisions.byRow].reverse();
      if (this.start >= all.length) this.start = 0;
      const turn = (start) => {
        this.start = start;
        this.update();
      };
      hs.replace(
        this.element,
        hs.h("h3", {}, `Decisions (${hs.count(all.length)})`),
        hs.h(
          "div",
          { class: "toolbar" },
          hs.button("Download corrections.csv", () => hs.saveCorrections(store), {
            class: "main",
            disabled: !all.length,
          }),
          hs.button("Undo the last", () => store.undo(), { disabled: !store.decisions.history.length }),
        ),
        hs.h(
          "p",
          { class: "about" },
          all.length
            ? [
                "Nothing is stored: download before you close the page. Then: ",
                hs.h("code", {}, "headstart fit-head SET --corrections corrections.csv"),
              ]
            : "None yet. They are kept in this window only, until you download them.",
        ),
        hs.h(
          "ul",
          {},
          all.slice(this.start, this.start + hs.PAGE).map(([row, decision]) => this.item(row, decision)),
        ),
        hs.pager(all.length, this.start, turn),
      );
    }

    item(row, decision) {
      const name = hs.short(this.store.model.ids[row], 60);
      return hs.h(
        "li",
        {},
        hs.opener(this.store, row),
        hs.decisionWords(decision),
        hs.button("Undo", () => this.store.decide(row, null), {
          class: "quiet",
          "aria-label": `Undo the decision about ${name}`,
        }),
      );
    }
  };

  hs.saveCorrections = (store) => {
    hs.download("corrections.csv", hs.correctionsCsv(store.model, store.decisions), "text/csv;charset=utf-8");
    store.decisions.isSaved = true;
    store.emit("decision", null);
    hs.announce(`${hs.plural(store.decisions.size, "correction")} downloaded`);
  };
})(headstart);
