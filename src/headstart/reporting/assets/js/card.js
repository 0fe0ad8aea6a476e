// One sample in full, beside whatever view is open: it can be corrected from here too.
(function (hs) {
  hs.Card = class Card {
    constructor(store, element) {
      Object.assign(this, { store, element });
      this.bar = new hs.DecisionBar(store, {});
      this.shownRow = null;
      element.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
      store.on((what, detail) => {
        if (what === "choice" && "pinned" in detail) this.show();
        if (what === "decision" && this.shownRow !== null) this.bar.show(this.shownRow);
      });
    }

    close() {
      const { opener } = this.store;
      this.store.choose({ pinned: null });
      if (opener && opener.isConnected) opener.focus();
    }

    show() {
      const row = this.store.chosen.pinned;
      this.shownRow = row;
      this.element.hidden = row === null;
      document.body.classList.toggle("with-card", row !== null);
      if (row === null) return;
      hs.replace(this.element, this.content(row));
      this.element.scrollTop = 0;
      this.element.querySelector("h2").focus({ preventScroll: true });
    }

    content(row) {
      const { store } = this;
      const { model } = store;
      return [
        hs.h(
          "div",
          { class: "card-head" },
          hs.h("h2", { tabindex: -1 }, hs.name(model.ids[row], 120)),
          hs.button("×", () => this.close(), { class: "quiet", "aria-label": "Close the sample" }),
        ),
        hs.face(model, row, "large"),
        model.runs.map((run) => this.verdict(row, run)),
        model.runs.length ? null : hs.verdict(model, row, null),
        this.bar.show(row),
        this.probabilities(row),
        hs.neighbours(store, row),
        this.facts(row),
      ];
    }

    verdict(row, run) {
      const isOne = this.store.model.runs.length === 1;
      return hs.h(
        "p",
        { class: "card-verdict" },
        isOne ? null : [hs.name(run.name, 30), ": "],
        hs.verdict(this.store.model, row, run),
      );
    }

    probabilities(row) {
      const run = this.store.run;
      const ranking = run
        ? run
            .ranking(run.placeOf(row))
            .slice(0, 5)
            .filter(({ share }) => !Number.isNaN(share))
        : [];
      if (!ranking.length) return null;
      return hs.h(
        "div",
        {},
        hs.h("h3", {}, "Probabilities"),
        hs.h(
          "ul",
          { class: "bars" },
          ranking.map(({ name, share }) =>
            hs.h(
              "li",
              {},
              hs.h("span", { class: "bar-name" }, hs.name(name, 32)),
              hs.h(
                "span",
                { class: "bar-track", "aria-hidden": "true" },
                hs.h("span", { class: "bar", style: { width: `${100 * share}%` } }),
              ),
              hs.h("span", { class: "figures" }, hs.share(share)),
            ),
          ),
        ),
      );
    }

    facts(row) {
      const { model } = this.store;
      const key = model.key(row);
      return hs.h(
        "div",
        {},
        hs.h("h3", {}, "Facts"),
        hs.h(
          "dl",
          { class: "facts-list" },
          model.columns.map((column) => [
            hs.h("dt", {}, hs.name(column.title, 40)),
            hs.h("dd", {}, hs.name(column.say(row), 300)),
          ]),
          key ? [hs.h("dt", {}, "key"), hs.h("dd", { class: "key" }, key)] : null,
        ),
      );
    }
  };
})(headstart);
