// Are confidences what they claim to be?
(function (hs) {
  hs.view({
    id: "reliability",
    title: "Reliability",
    order: 40,
    isFor: (model) => model.runs.some((run) => run.isSingle && run.confidence),
    build: (store) => new Reliability(store),
  });

  class Reliability {
    constructor(store) {
      Object.assign(this, { store, bins: 15 });
      this.tools = hs.h("div", { class: "toolbar" });
      this.basis = hs.h("div", {});
      this.plotBox = hs.h("div", {});
      this.table = new hs.Table({
        caption: "Confidence and accuracy by bin",
        columns: [
          { title: "Confidence", cell: (bin) => `${bin.from.toFixed(2)} to ${bin.to.toFixed(2)}` },
          { title: "Samples", isNumber: true, cell: (bin) => hs.count(bin.n) },
          { title: "Mean confidence", isNumber: true, cell: (bin) => hs.fixed(bin.confidence / bin.n) },
          { title: "Accuracy", isNumber: true, cell: (bin) => hs.fixed(bin.hits / bin.n) },
          { title: "95 % interval", cell: (bin) => hs.interval(hs.wilson(bin.hits, bin.n)) },
        ],
      });
      this.element = hs.h(
        "div",
        {},
        hs.heading(
          "Reliability",
          "Bars are the accuracy of predictions by their confidence; on the line both are the same.",
        ),
        this.basis,
        this.tools,
        this.plotBox,
        this.table.element,
      );
    }

    update() {
      const { store } = this;
      const { run } = store;
      hs.replace(
        this.tools,
        hs.runChoice(store),
        hs.field(
          "Bins",
          hs.select(
            [
              ["10", "10"],
              ["15", "15"],
              ["20", "20"],
            ],
            String(this.bins),
            (value) => {
              this.bins = Number(value);
              this.update();
            },
          ),
        ),
      );
      if (!run.confidence)
        return void hs.replace(this.plotBox, hs.h("p", { class: "empty" }, "This run has no probabilities."));
      const places = hs.evaluated(store);
      const found = hs.reliability(run, places, this.bins);
      hs.replace(this.basis, hs.basis(store, places.length));
      hs.replace(
        this.plotBox,
        hs.h(
          "div",
          { class: "tiles" },
          tile("expected calibration error", hs.fixed(found.ece)),
          tile("predictions", hs.count(found.total)),
        ),
        this.plot(found),
      );
      this.table.show(found.bins.filter(({ n }) => n));
    }

    plot({ bins, ece }) {
      const plot = new hs.UnitPlot({
        xTitle: "confidence",
        yTitle: "accuracy",
        words: `Reliability diagram, expected calibration error ${hs.fixed(ece)}; the table below holds its figures`,
      });
      const most = Math.max(1, ...bins.map(({ n }) => n));
      for (const { from, to, n, hits } of bins) if (n) plot.bar(from, to, hits / n, "accuracy");
      for (const { from, to, n } of bins) if (n) plot.bar(from, to, (0.2 * n) / most, "support", 5);
      plot.line([0, 0], [1, 1], "ideal");
      for (const { n, hits, confidence } of bins) {
        if (!n) continue;
        const [low, high] = hs.wilson(hits, n);
        plot.line([confidence / n, low], [confidence / n, high], "spread");
        plot.dot(confidence / n, hits / n, "mean");
      }
      return hs.h(
        "div",
        {},
        plot.element,
        hs.h(
          "p",
          { class: "about" },
          "Dots: mean confidence and accuracy of a bin with its 95 % interval. Narrow bars at the bottom: how many predictions it has.",
        ),
      );
    }
  }

  const tile = (name, value) =>
    hs.h(
      "div",
      { class: "tile" },
      hs.h("span", { class: "tile-value" }, value),
      hs.h("span", { class: "tile-name" }, name),
    );
})(headstart);
