// Slices: how the run does on parts of the samples, worst first.
(function (hs) {
  hs.view({
    id: "slices",
    title: "Slices",
    order: 50,
    isFor: (model) => model.runs.some(({ slices }) => slices.length),
    build: (store) => new Slices(store),
  });

  class Slices {
    constructor(store) {
      Object.assign(this, { store, column: "", split: "" });
      this.tools = hs.h("div", { class: "toolbar" });
      this.box = hs.h("div", { tabindex: -1 });
      this.element = hs.h(
        "div",
        {},
        hs.heading(
          "Slices",
          "The run's leading figure on every value of every column, as the report computed it, worst first. Press a slice to filter all views by it.",
        ),
        this.tools,
        this.box,
      );
    }

    update(what) {
      const { store } = this;
      const slices = store.run.slices;
      this.places = store.run.isSingle ? hs.evaluated(store) : null;
      if (this.drawn === store.run && what === "filter") return this.draw(slices);
      this.drawn = store.run;
      Object.assign(this, { column: "", split: "" }); // the other run may lack what was chosen
      const titleOf = (name) => store.model.column(name)?.title ?? name;
      const pick = (title, key, say) => {
        const values = [...new Set(slices.map((slice) => slice[key]))];
        if (values.length < 2) return null;
        return hs.field(
          title,
          hs.select([["", "all"], ...values.map((value) => [value, say(value)])], this[key], (value) => {
            this[key] = value;
            this.draw(slices);
          }),
        );
      };
      hs.replace(
        this.tools,
        hs.runChoice(store),
        pick("Column", "column", titleOf),
        pick("Split", "split", (name) => name),
      );
      this.draw(slices);
    }

    draw(slices) {
      const shown = slices.filter(
        (slice) => (!this.column || slice.column === this.column) && (!this.split || slice.split === this.split),
      );
      const values = shown
        .flatMap(({ figure_value: value, interval, rest }) => [value, rest, ...(interval || [])])
        .filter((value) => Number.isFinite(value));
      const [low, high] = values.every((value) => value >= 0 && value <= 1)
        ? [0, 1]
        : [Math.min(...values), Math.max(...values)];
      this.table = new hs.Table({
        caption: "Slices, worst first",
        columns: this.columns(low, high),
        onRow: (slice) => hs.sliceFilter(this.store, slice),
        rowLabel: "Filter by this slice",
      });
      hs.keepFocus(this.box, () => hs.replace(this.box, this.table.show(shown)));
    }

    columns(low, high) {
      const isFiltered = this.places && [...this.store.filters.keys()].some((id) => id !== "split");
      const now = {
        title: "Accuracy now",
        isNumber: true,
        about: "Of the samples of the slice that pass the filters, and how many they are",
        cell: (slice) => this.accuracyNow(slice),
      };
      return [
        hs.sliceColumn(this.store.model),
        { title: "Split", value: (slice) => slice.split, cell: (slice) => hs.name(slice.split, 20) },
        hs.numberColumn("Samples", "n", hs.count),
        { title: "Figure", value: (slice) => slice.figure, cell: (slice) => hs.name(slice.figure, 24) },
        hs.numberColumn("Value", "figure_value", hs.figure),
        hs.numberColumn("The rest", "rest", hs.figure, "The same figure of all other samples of the split"),
        {
          title: "95 % interval",
          cell: (slice) => hs.h("span", { class: "figures" }, hs.interval(slice.interval, hs.figure) || "–"),
        },
        { title: "Drawn", cell: (slice) => drawn(slice, low, high) },
        ...(isFiltered ? [now] : []),
      ];
    }

    // Counted anew among what passes the filters, for the slices of the page that is open.
    accuracyNow(slice) {
      const { run, model } = this.store;
      const filter = hs.valueFilter(model.column(slice.column), slice.value);
      if (!filter) return "–";
      const within = this.places.filter((place) => filter.mask[run.rows[place]]);
      let hits = 0;
      for (const place of within) hits += Number(run.label[place] === run.prediction[place]);
      return within.length
        ? [hs.figure(hits / within.length), hs.h("span", { class: "muted" }, ` of ${hs.count(within.length)}`)]
        : "–";
    }
  }

  function drawn({ figure_value: value, interval, rest }, low, high) {
    const mark = Number.isFinite(rest) ? rest : null;
    return hs.whisker({ value, interval, low, high, mark, words: `${hs.figure(value)}, the rest ${hs.figure(rest)}` });
  }
})(headstart);
