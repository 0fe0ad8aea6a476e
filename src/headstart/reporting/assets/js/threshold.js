// What a threshold would do: which predictions to withhold, or from which probability on to say a class.
(function (hs) {
  hs.view({
    id: "threshold",
    title: "Threshold",
    order: 30,
    isFor: (model) =>
      model.runs.some((run) => (run.isSingle && (run.confidence || run.hasProbabilities)) || run.isMulti),
    build: (store) => new Threshold(store),
  });

  const COSTS = {
    wrong: ["a wrong answer", 1],
    abstention: ["an abstention", 0.2],
    falsePositive: ["a false positive", 1],
    falseNegative: ["a false negative", 1],
  };

  class Threshold {
    constructor(store) {
      Object.assign(this, { store, code: -1, at: 0.5 });
      this.costs = Object.fromEntries(Object.entries(COSTS).map(([name, [, cost]]) => [name, cost]));
      this.tools = hs.h("div", { class: "toolbar" });
      this.basis = hs.h("div", {});
      this.slider = hs.h("input", {
        type: "range",
        min: 0,
        max: 1,
        step: 0.002,
        on: { input: () => this.move(Number(this.slider.value)) },
      });
      this.exact = hs.h("input", {
        type: "number",
        min: 0,
        max: 1,
        step: 0.002,
        "aria-label": "Threshold as a number",
        on: { change: () => this.move(Number(this.exact.value)) },
      });
      this.slider.value = this.exact.value = "0.5";
      this.plotBox = hs.h("div", {});
      this.figures = hs.h("div", { class: "tiles", role: "group", "aria-label": "Figures at this threshold" });
      this.words = hs.h("p", { class: "about" });
      this.element = hs.h(
        "div",
        {},
        hs.heading("Threshold"),
        this.basis,
        this.tools,
        hs.h(
          "div",
          { class: "threshold-line" },
          hs.field("Threshold", this.slider, { class: "field wide" }),
          this.exact,
        ),
        this.figures,
        this.words,
        this.plotBox,
      );
    }

    get isAbstaining() {
      return this.code < 0;
    }

    update() {
      const { run } = this.store;
      if (this.run !== run) {
        this.run = run;
        this.canAbstain = Boolean(run.isSingle && run.confidence);
        this.code = this.canAbstain ? -1 : 0;
      }
      this.places = hs.evaluated(this.store);
      hs.replace(this.basis, hs.basis(this.store, this.places.length));
      this.drawTools();
      this.drawCurves();
      this.move(this.at);
    }

    drawTools() {
      const { run } = this;
      const classes = run.hasProbabilities
        ? run.classes.map((name, code) => [String(code), `say “${hs.short(name, 40)}” from the threshold on`])
        : [];
      const options = [...(this.canAbstain ? [["-1", "withhold predictions below the threshold"]] : []), ...classes];
      const names = this.isAbstaining ? ["wrong", "abstention"] : ["falsePositive", "falseNegative"];
      hs.replace(
        this.tools,
        hs.runChoice(this.store),
        hs.field(
          "What it decides",
          hs.select(options, String(this.code), (value) => {
            this.code = Number(value);
            this.update();
          }),
        ),
        names.map((name) => hs.field(`Cost of ${COSTS[name][0]}`, this.costField(name))),
        hs.button("Go to the cheapest", () => this.move(this.cheapest()), {}),
      );
    }

    costField(name) {
      const field = hs.h("input", { type: "number", min: 0, step: "any", class: "short" });
      field.value = String(this.costs[name]);
      field.addEventListener("input", () => {
        const cost = Number(field.value);
        if (field.value === "" || !(cost >= 0)) return;
        this.costs[name] = cost;
        this.drawCurves();
        this.move(this.at);
      });
      return field;
    }

    score() {
      return this.isAbstaining
        ? (place) => this.run.confidence[place]
        : (place) => this.run.probability(place, this.code);
    }

    // Cumulative counts: abstaining [right, wrong], of a class [its own, others].
    tally() {
      const { run, code } = this;
      const isGood = this.isAbstaining
        ? (place) => run.label[place] === run.prediction[place]
        : (place) => run.hasClass(place, code);
      return hs.tallied(this.places, this.score(), (place) => (isGood(place) ? 0 : 1), 2);
    }

    costAt([good, bad]) {
      const { costs } = this;
      if (this.isAbstaining) return bad * costs.wrong + (this.places.length - good - bad) * costs.abstention;
      return bad * costs.falsePositive + (this.tallies[0][0] - good) * costs.falseNegative;
    }

    cheapest() {
      let best = 0;
      for (let step = 1; step <= hs.STEPS + 1; step += 1)
        if (this.costAt(this.tallies[step]) < this.costAt(this.tallies[best])) best = step;
      return Math.min(best, hs.STEPS) / hs.STEPS;
    }

    drawCurves() {
      this.tallies = this.tally();
      const n = this.places.length;
      const names = this.isAbstaining ? ["accuracy", "coverage"] : ["precision", "recall"];
      this.plot = new hs.UnitPlot({
        xTitle: "threshold",
        yTitle: "share",
        words: `Curves of ${names.join(", ")} and cost over the threshold; the figures above say them at the threshold chosen`,
      });
      const most = Math.max(...this.tallies.map((counts) => this.costAt(counts))) || 1;
      const [first, second, cost] = [[], [], []];
      const all = this.tallies[0][0];
      for (let step = 0; step <= hs.STEPS; step += 2) {
        const [good, bad] = this.tallies[step];
        const x = step / hs.STEPS;
        first.push([x, good + bad ? good / (good + bad) : NaN]);
        second.push([x, this.isAbstaining ? (good + bad) / n : good / all]);
        cost.push([x, this.costAt(this.tallies[step]) / most]);
      }
      this.plot.curve(first, "one");
      this.plot.curve(second, "two");
      this.plot.curve(cost, "three");
      this.cursor = hs.svg("g");
      this.plot.marks.append(this.cursor);
      const key = hs.h(
        "p",
        { class: "key-line" },
        [names[0], names[1], "cost, of the highest"].map((name, i) =>
          hs.h("span", { class: `key-name ${["one", "two", "three"][i]}` }, name),
        ),
      );
      hs.replace(this.plotBox, n ? [key, this.plot.element] : null);
    }

    move(at) {
      if (Number.isNaN(at)) return;
      this.at = Math.max(0, Math.min(1, at));
      this.slider.value = String(this.at);
      if (document.activeElement !== this.exact) this.exact.value = String(this.at);
      const x = this.plot.x(this.at);
      this.cursor.replaceChildren(
        hs.svg("line", { class: "cursor", x1: x, x2: x, y1: this.plot.y(0), y2: this.plot.y(1) }),
      );
      this.say();
    }

    say() {
      const { run, places, at, costs, code } = this;
      const found = this.isAbstaining
        ? hs.abstaining(run, places, at, costs)
        : hs.detecting(run, places, code, at, costs);
      const mean = this.isAbstaining ? "macro " : "";
      const tiles = [
        [`${mean}precision`, hs.fixed(found.precision)],
        [`${mean}recall`, hs.fixed(found.recall)],
        [`${mean}F1`, hs.fixed(found.f1)],
        [this.isAbstaining ? "coverage" : "share said", hs.share(found.coverage)],
        ["accuracy", hs.fixed(found.accuracy)],
        ["cost", hs.number(found.cost)],
      ];
      hs.replace(
        this.figures,
        tiles.map(([name, value]) =>
          hs.h(
            "div",
            { class: "tile" },
            hs.h("span", { class: "tile-value" }, value),
            hs.h("span", { class: "tile-name" }, name),
          ),
        ),
      );
      this.words.textContent = this.isAbstaining
        ? `${hs.count(found.hits)} right, ${hs.count(found.wrong)} wrong, ${hs.count(found.withheld)} withheld. Accuracy and precision are of the predictions that stand; a withheld one counts as missed in the recall.`
        : `${hs.count(found.hits)} found, ${hs.count(found.wrong)} false positives, ${hs.count(found.missed)} false negatives, ${hs.count(found.rest)} rightly not said.`;
    }
  }
})(headstart);
