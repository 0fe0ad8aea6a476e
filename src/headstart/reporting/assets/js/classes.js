// One line per class: precision, recall, F1, and what it is taken for.
(function (hs) {
  hs.view({
    id: "classes",
    title: "Classes",
    order: 60,
    isFor: hs.isSingleRun,
    build: (store) => new Classes(store),
  });

  const COLUMNS = [
    { title: "Class", value: (line) => line.name, cell: (line) => hs.name(line.name, 48) },
    hs.numberColumn("Samples", "support", hs.count, "Samples with this label"),
    hs.numberColumn(
      "Precision",
      "precision",
      hs.fixed,
      "Of the samples predicted as this class, the share that has the label",
    ),
    hs.numberColumn("Recall", "recall", hs.fixed, "Of the samples with this label, the share predicted as it"),
    hs.numberColumn("F1", "f1", hs.fixed, "Harmonic mean of precision and recall"),
    {
      title: "95 % of recall",
      cell: (line) => hs.h("span", { class: "figures" }, hs.interval(hs.wilson(line.hits, line.support)) || "–"),
    },
    {
      title: "Mostly taken for",
      value: (line) => line.confusedN,
      cell: (line) =>
        line.confused
          ? [hs.name(line.confused, 32), hs.h("span", { class: "muted figures" }, ` ${hs.count(line.confusedN)}`)]
          : "–",
    },
  ];

  class Classes {
    constructor(store) {
      this.store = store;
      this.tools = hs.h("div", { class: "toolbar" });
      this.basis = hs.h("div", {});
      this.table = new hs.Table({
        caption: "Classes",
        sortBy: 4,
        isDown: false,
        rowLabel: "Filter by this class",
        onRow: (line) => hs.sliceFilter(store, { column: "label", value: line.name }),
        columns: COLUMNS,
      });
      this.element = hs.h(
        "div",
        {},
        hs.heading("Classes", "Recomputed for the samples that pass the filters. Press a head to sort by it."),
        this.basis,
        this.tools,
        this.table.element,
      );
    }

    update() {
      const { store } = this;
      const { run } = store;
      const places = hs.evaluated(store);
      hs.replace(this.tools, hs.runChoice(store));
      hs.replace(this.basis, hs.basis(store, places.length));
      const counts = hs.countClasses(run, places);
      const taken = mostlyTakenFor(run, places);
      this.table.show(
        run.classes.map((name, code) => ({
          name,
          support: counts.support[code],
          hits: counts.hits[code],
          ...hs.classScores(counts.hits[code], counts.false[code], counts.missed[code]),
          confused: taken[code] ? run.classes[taken[code][0]] : null,
          confusedN: taken[code] ? taken[code][1] : NaN,
        })),
      );
    }
  }

  // For each class the one that its samples are predicted as most often when they are missed: [code, n].
  function mostlyTakenFor(run, places) {
    const found = new Map();
    const best = [];
    for (const place of places) {
      const [label, said] = [run.label[place], run.prediction[place]];
      if (label === said) continue;
      const at = label * run.classes.length + said;
      const n = (found.get(at) || 0) + 1;
      found.set(at, n);
      if (!best[label] || n > best[label][1]) best[label] = [said, n];
    }
    return best;
  }
})(headstart);
