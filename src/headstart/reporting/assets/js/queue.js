// The correction queue: one sample at a time, one key for each decision.
(function (hs) {
  hs.openQueue = (store, place) => {
    store.choose({ queue: place });
    hs.open("review");
  };

  hs.view({
    id: "review",
    title: "Review",
    order: 90,
    hears: ["queue", "decision"],
    isFor: (model) => model.n > 0,
    build: (store) => new Review(store),
  });

  class Review {
    constructor(store) {
      Object.assign(this, { store, place: store.model.queues.length ? 0 : -1, at: new Map(), hasKeys: true });
      this.picks = hs.h("div", { class: "queues", role: "group", "aria-label": "Queues" });
      this.stage = hs.h("section", { class: "queue-stage", tabindex: -1, "aria-label": "Sample to decide about" });
      this.bar = new hs.DecisionBar(store, { withKeys: true, after: () => this.step(1) });
      this.decided = new hs.DecisionList(store);
      const keys = hs.check("Single keys decide", true, (hasKeys) => (this.hasKeys = hasKeys));
      this.element = hs.h(
        "div",
        {},
        hs.heading("Review", "Look at one sample after the other, and say what its label should be."),
        hs.h("div", { class: "review" }, hs.h("div", {}, this.picks, keys, legend()), this.stage, this.decided.element),
      );
      document.addEventListener("keydown", (event) => this.press(event));
    }

    // Queue -1 is whatever passes the filters.
    get queue() {
      return this.store.model.queues[this.place] || null;
    }

    update(what, detail) {
      if (what === "choice" || this.store.chosen.queue !== undefined)
        this.place = this.store.chosen.queue ?? this.place;
      delete this.store.chosen.queue;
      if (what === "decision") {
        this.decided.update();
        if (detail !== null) this.seen(detail);
      }
      this.collect();
      this.drawPicks();
      this.draw();
    }

    // An undone decision brings its sample back, where the queue holds it.
    seen(row) {
      const index = this.isUndoing ? this.rows.indexOf(row) : -1;
      if (index >= 0) this.at.set(this.place, this.places[index]);
    }

    // What passes the filters, and where the user is: known by the place in the queue, since pairs may hold a sample
    // more than once.
    collect() {
      const { queue, store } = this;
      this.places = queue
        ? Uint32Array.from(queue.rows.keys()).filter((place) => store.mask[queue.rows[place]])
        : store.rows();
      this.rows = queue ? this.places.map((place) => queue.rows[place]) : this.places;
      this.index = Math.max(0, this.places.indexOf(this.at.get(this.place)));
    }

    get row() {
      return this.rows.length ? this.rows[this.index] : null;
    }

    // The rest of what the queue says about the sample in view.
    get entry() {
      const { queue } = this;
      if (!queue || this.row === null) return { other: null, suggested: "", score: NaN };
      const place = this.places[this.index];
      return {
        other: queue.other && queue.other[place] < this.store.model.n ? queue.other[place] : null,
        suggested: (queue.suggested && queue.suggested[place]) || "",
        score: queue.score ? queue.score[place] : NaN,
      };
    }

    step(by) {
      if (!this.rows.length) return;
      const next = Math.max(0, Math.min(this.rows.length - 1, this.index + by));
      if (next === this.index && by > 0) hs.announce("That was the last of this queue");
      this.index = next;
      this.at.set(this.place, this.places[next]);
      this.draw();
    }

    drawPicks() {
      const { store } = this;
      const pick = (place, title, rows, found) => {
        const shown = rows === null ? store.count : rows.reduce((n, row) => n + store.mask[row], 0);
        const of = found !== null && found !== shown ? ` of ${hs.count(found)}` : "";
        return hs.button(
          [hs.h("span", {}, hs.short(title, 60)), hs.h("span", { class: "figures muted" }, `${hs.count(shown)}${of}`)],
          () => {
            this.place = place;
            this.update("pick");
            this.picks.querySelector("[aria-pressed=true]").focus();
          },
          { "aria-pressed": String(place === this.place), class: "queue-pick" },
        );
      };
      hs.replace(
        this.picks,
        store.model.queues.map((queue, place) => pick(place, queue.title, queue.rows, queue.found)),
        pick(-1, "All that pass the filters", null, null),
      );
    }

    draw() {
      hs.keepFocus(this.stage, () => this.fill());
    }

    fill() {
      const { row, queue, store } = this;
      const head = [
        hs.h("h3", {}, queue ? hs.short(queue.title, 120) : "All that pass the filters"),
        queue ? hs.h("p", { class: "about" }, hs.short(queue.about, 600)) : null,
        this.hiddenWords(),
      ];
      if (row === null) return void hs.replace(this.stage, head, hs.h("p", { class: "empty" }, "No sample here."));
      const { other, suggested } = this.entry;
      const beside = store.model.thumbs && !store.model.texts && other === null ? "subject beside" : "subject";
      hs.replace(
        this.stage,
        head,
        this.progress(),
        hs.h(
          "div",
          { class: beside },
          this.pair(row, other),
          hs.h(
            "div",
            {},
            this.said(row),
            this.bar.show(row, suggested),
            this.likely(row, suggested),
            hs.neighbours(store, row),
          ),
        ),
      );
    }

    hiddenWords() {
      const { queue, store } = this;
      if (!queue || this.rows.length === queue.rows.length) return null;
      return hs.h(
        "p",
        { class: "hidden-words" },
        `The filters hide ${hs.count(queue.rows.length - this.rows.length)} of this queue. `,
        hs.button("Show all", () => store.clear(), { class: "link" }),
      );
    }

    countDecided() {
      const { byRow } = this.store.decisions;
      if (!this.queue) return [...byRow.keys()].filter((row) => this.store.mask[row]).length;
      return this.rows.reduce((n, row) => n + Number(byRow.has(row)), 0);
    }

    progress() {
      const { rows } = this;
      const decided = this.countDecided();
      return hs.h(
        "div",
        { class: "progress" },
        hs.button("‹", () => this.step(-1), {
          "aria-label": "Previous sample",
          "data-action": "previous",
          disabled: this.index === 0,
        }),
        hs.h("span", { class: "figures" }, `${hs.count(this.index + 1)} of ${hs.count(rows.length)}`),
        hs.button("›", () => this.step(1), {
          "aria-label": "Next sample",
          "data-action": "next",
          disabled: this.index === rows.length - 1,
        }),
        hs.h("progress", { max: rows.length, value: decided, "aria-label": "Decided" }),
        hs.h("span", { class: "figures muted" }, `${hs.count(decided)} decided`),
      );
    }

    pair(row, other) {
      const one = (which, title) =>
        hs.h(
          "figure",
          {},
          hs.face(this.store.model, which, "large"),
          hs.h(
            "figcaption",
            {},
            title ? hs.h("span", { class: "small-title" }, title) : null,
            hs.opener(this.store, which),
            other === null ? null : hs.verdict(this.store.model, which, this.store.run),
          ),
        );
      if (other === null) return hs.h("div", { class: "pair" }, one(row));
      return hs.h("div", { class: "pair two" }, one(row, "This one"), one(other, "Its twin"));
    }

    said(row) {
      const { model, run } = this.store;
      const { suggested, score } = this.entry;
      const guess = suggested || model.prediction(row, run) || "";
      const place = run ? run.placeOf(row) : -1;
      const facts = [
        ["label", model.label(row) ? hs.name(model.label(row), 60) : "none"],
        ["the model's guess", guess ? hs.name(guess, 60) : null],
        [this.queue && this.queue.scoreTitle, Number.isNaN(score) ? null : hs.number(score)],
        [
          "confidence",
          place >= 0 && run.confidence && this.queue?.scoreTitle !== "confidence"
            ? hs.share(run.confidence[place])
            : null,
        ],
      ];
      return hs.h(
        "dl",
        { class: "said" },
        facts
          .filter(([, value]) => value)
          .map(([name, value]) => hs.h("div", {}, hs.h("dt", {}, name), hs.h("dd", {}, value))),
        model.kept.has(row)
          ? hs.h("div", {}, hs.h("dt", {}, "before"), hs.h("dd", {}, "kept in an earlier review"))
          : null,
      );
    }

    likely(row, suggested) {
      const { store } = this;
      if (!hs.canCorrect(store.model) || store.model.labelInfo.kind !== "single") return null;
      const names = hs.likeliest(store, row, suggested);
      if (!names.length) return null;
      return hs.h(
        "div",
        { class: "likely", role: "group", "aria-label": "Relabel as one of the likeliest" },
        hs.h("span", { class: "small-title" }, "Relabel as"),
        names.map(({ name, share }, i) =>
          hs.button(
            [
              hs.h("kbd", { "aria-hidden": "true" }, String(i + 1)),
              hs.name(name, 32),
              Number.isNaN(share) ? null : hs.h("span", { class: "figures muted" }, hs.share(share, 0)),
            ],
            () => this.bar.decide("relabel", name),
            { "data-action": `likely-${i}` },
          ),
        ),
      );
    }

    undo() {
      this.isUndoing = true;
      this.bar.close();
      this.store.undo();
      this.isUndoing = false;
    }

    press(event) {
      if (
        hs.opened !== "review" ||
        !this.hasKeys ||
        event.ctrlKey ||
        event.metaKey ||
        event.altKey ||
        event.defaultPrevented
      )
        return;
      if (hs.isTyping(event.target) || (event.target instanceof Element && event.target.closest("#card"))) return;
      const { bar } = this;
      const deeds = {
        k: () => bar.decide("keep"),
        r: () => bar.relabel(),
        d: () => bar.decide("drop"),
        u: () => bar.decide("unsure"),
        n: () => bar.note(),
        z: () => this.undo(),
        j: () => this.step(event.shiftKey ? -1 : 1),
        arrowright: () => this.step(1),
        arrowleft: () => this.step(-1),
        arrowdown: null,
        arrowup: null,
      };
      const deed = /^[1-9]$/u.test(event.key)
        ? () => this.relabelAs(Number(event.key) - 1)
        : deeds[event.key.toLowerCase()];
      if (!deed) return;
      event.preventDefault();
      deed();
    }

    relabelAs(place) {
      if (this.row === null || this.store.model.labelInfo === null || this.store.model.labelInfo.kind !== "single")
        return;
      const chosen = hs.likeliest(this.store, this.row, this.entry.suggested)[place];
      if (chosen) this.bar.decide("relabel", chosen.name);
    }
  }

  function legend() {
    const keys = [
      ["K", "keep the label"],
      ["R", "relabel"],
      ["1–9", "relabel as one of the likeliest"],
      ["D", "drop the sample"],
      ["U", "unsure"],
      ["N", "note"],
      ["J →", "next"],
      ["⇧J ←", "back"],
      ["Z", "undo"],
    ];
    return hs.h(
      "details",
      { class: "keys", open: innerWidth > 900 },
      hs.h("summary", {}, "Keys"),
      hs.h(
        "dl",
        {},
        keys.map(([key, words]) => hs.h("div", {}, hs.h("dt", {}, hs.h("kbd", {}, key)), hs.h("dd", {}, words))),
      ),
    );
  }
})(headstart);
