// Two runs: figures side by side, which samples flipped and each way, and where.
(function (hs) {
  hs.comparisonFigures = (model) => {
    const { figures, n, note } = model.comparison;
    const [a, b] = model.runs;
    const table = new hs.Table({ caption: "Figures of both runs", columns: columnsOf(figures, a, b) });
    return hs.h(
      "section",
      {},
      hs.heading("Figures of both runs", [
        "a is ",
        hs.name(a.name, 60),
        ", b is ",
        hs.name(b.name, 60),
        `, both on the same ${hs.plural(n, "sample")}. Above 0, b − a means that b is higher.`,
      ]),
      table.show(figures),
      mcnemar(model),
      note ? hs.h("p", { class: "about" }, hs.short(note, 600)) : null,
    );
  };

  function columnsOf(figures, a, b) {
    const sizes = figures.flatMap(({ difference, interval }) => [difference, ...(interval || [])]);
    const reach = Math.max(0.01, ...sizes.filter(Number.isFinite).map(Math.abs));
    const drawn = ({ difference: value, interval }) =>
      hs.whisker({ value, interval, low: -reach, high: reach, mark: 0, words: `difference ${signed(value)}` });
    return [
      { title: "Figure", cell: ({ name, title }) => hs.name(title || name, 40) },
      { title: "a", isNumber: true, about: hs.short(a.name), cell: (figure) => hs.figure(figure.a) },
      { title: "b", isNumber: true, about: hs.short(b.name), cell: (figure) => hs.figure(figure.b) },
      { title: "b − a", isNumber: true, cell: (figure) => signed(figure.difference) },
      {
        title: "95 % interval",
        cell: ({ interval }) => hs.h("span", { class: "figures" }, interval ? hs.interval(interval, signed) : "–"),
      },
      { title: "Drawn", cell: (figure) => (Number.isFinite(figure.difference) ? drawn(figure) : null) },
    ];
  }

  const signed = (value) => (Number.isFinite(value) ? `${value > 0 ? "+" : ""}${hs.figure(value)}` : "–");

  function mcnemar(model) {
    const { only_a: onlyA, only_b: onlyB, p_value: p } = model.comparison;
    if (!Number.isFinite(onlyA)) return null;
    const words = !Number.isFinite(p)
      ? "McNemar's test does not apply."
      : `McNemar's p is ${p < 0.001 ? p.toExponential(1) : p.toFixed(3)}: ${
          p < 0.05
            ? "flips this uneven would be rare if both runs were equally good."
            : "flips as uneven as this are common where both runs are equally good."
        }`;
    return hs.h(
      "p",
      { class: "finding" },
      `Only a is right on ${hs.plural(onlyA, "sample")}, only b on ${hs.count(onlyB)}. ${words}`,
    );
  }

  hs.view({
    id: "flips",
    title: "Flips",
    order: 5,
    hears: ["decision"],
    isFor: (model) => model.runs.length === 2 && Boolean(model.column("flip")),
    build: (store) => new Flips(store),
  });

  class Flips {
    constructor(store) {
      Object.assign(this, { store, column: store.model.column("flip"), shows: "gained" });
      const other = store.model.runs[1];
      this.tabs = hs.h("div", { class: "segments", role: "group", "aria-label": "Which samples" });
      this.list = new hs.SampleList(store, {
        run: other,
        more: (row) => this.both(row),
        empty: "No sample like this passes the filters.",
      });
      this.where = hs.h("div", {});
      this.element = hs.h(
        "div",
        {},
        hs.heading("Flips", [
          "Gained: only b (",
          hs.name(other.name, 40),
          ") is right. Lost: only a (",
          hs.name(store.model.runs[0].name, 40),
          ") is.",
        ]),
        mcnemar(store.model),
        this.tabs,
        this.list.element,
        this.where,
      );
      hs.replace(this.where, this.slices());
    }

    update(what) {
      if (what === "decision") return void this.list.draw();
      const { store, column } = this;
      const { codes } = column;
      const counts = new Uint32Array(column.names.length + 1);
      for (let row = 0; row < codes.length; row += 1) counts[codes[row]] += store.mask[row];
      const onMap = store.model.points
        ? hs.button(
            "Show on the map",
            () => {
              store.choose({ colour: "flip" });
              hs.open("map");
            },
            { class: "quiet" },
          )
        : null;
      const focused = this.tabs.contains(document.activeElement);
      hs.replace(
        this.tabs,
        ["gained", "lost", "both wrong", "both right"]
          .filter((name) => column.names.includes(name))
          .map((name) =>
            hs.button(
              [hs.short(name), " ", hs.h("span", { class: "figures" }, hs.count(counts[column.names.indexOf(name)]))],
              () => this.show(name),
              { "aria-pressed": String(name === this.shows) },
            ),
          ),
        onMap,
      );
      if (focused) this.tabs.querySelector("[aria-pressed=true]").focus();
      const wanted = column.names.indexOf(this.shows);
      this.list.show(store.rows().filter((row) => codes[row] === wanted));
    }

    show(name) {
      this.shows = name;
      this.update();
    }

    both(row) {
      const { model } = this.store;
      return hs.h(
        "span",
        { class: "muted figures" },
        model.runs.map((run, place) => {
          const at = run.placeOf(row);
          const share = at >= 0 && run.confidence ? ` (${hs.share(run.confidence[at])})` : "";
          return [place ? ", " : "", `${"ab"[place]}: `, hs.name(model.prediction(row, run) ?? "nothing", 32), share];
        }),
      );
    }

    slices() {
      const { model } = this.store;
      const all = (model.comparison && model.comparison.slices) || [];
      if (!all.length) return null;
      const flipped = (slice) => (slice.gained + slice.lost) / slice.n;
      const table = new hs.Table({
        caption: "Where samples flipped",
        sortBy: 6,
        rowLabel: "Filter by this slice",
        onRow: (slice) => hs.sliceFilter(this.store, slice),
        columns: [
          hs.sliceColumn(model),
          hs.numberColumn("Samples", "n", hs.count),
          hs.numberColumn("a", "a", hs.figure),
          hs.numberColumn("b", "b", hs.figure),
          hs.numberColumn("Gained", "gained", hs.count),
          hs.numberColumn("Lost", "lost", hs.count),
          { title: "Flipped", isNumber: true, value: flipped, cell: (slice) => hs.share(flipped(slice)) },
        ],
      });
      return hs.h("section", {}, hs.h("h3", {}, "Where they flipped"), table.show(all));
    }
  }
})(headstart);
