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
      this.box = hs.h("div", {});
      this.element = hs.h("div", {}, hs.heading("Slices", "The run's leading figure on every value of every column, as the report computed it, worst first. Press a slice to filter all views by it."), this.tools, this.box);
    }

    update(what) {
      const { store } = this;
      const slices = store.run.slices;
      this.places = store.run.isSingle ? hs.evaluated(store) : null;
      if (this.drawn === store.run && what === "filter") return this.draw(slices);
      this.drawn = store.run;
      const titles = new Map(store.model.columns.map(({ name, title }) => [name, title]));
      const pick = (title, key, say) => {
        const values = [...new Set(slices.map((slice) => slice[key]))];
        if (values.length < 2) return null;
        return hs.field(title, hs.select([["", "all"], ...values.map((value) => [value, say(value)])], this[key], (value) => {
          this[key] = value;
          this.draw(slices);
        }));
      };
      hs.replace(this.tools, hs.runChoice(store), pick("Column", "column", (name) => titles.get(name) || name), pick("Split", "split", (name) => name));
      this.titles = titles;
      this.draw(slices);
    }

    draw(slices) {
      const shown = slices.filter((slice) => (!this.column || slice.column === this.column) && (!this.split || slice.split === this.split));
      const values = shown.flatMap(({ figure_value: value, interval, rest }) => [value, rest, ...(interval || [])]).filter((value) => Number.isFinite(value));
      const [low, high] = values.every((value) => value >= 0 && value <= 1) ? [0, 1] : [Math.min(...values), Math.max(...values)];
      this.table = new hs.Table({ caption: "Slices, worst first", columns: this.columns(low, high), onRow: (slice) => this.filtering(slice), rowLabel: "Filter by this slice" });
      hs.replace(this.box, this.table.show(shown));
    }

    columns(low, high) {
      const title = (slice) => this.titles.get(slice.column) || slice.column;
      const isFiltered = this.places && [...this.store.filters.keys()].some((id) => id !== "split");
      const now = { title: "Accuracy now", isNumber: true, about: "Of the samples of the slice that pass the filters, and how many they are", cell: (slice) => this.accuracyNow(slice) };
      return [
        ...this.reported(title, low, high),
        ...(isFiltered ? [now] : []),
      ];
    }

    reported(title, low, high) {
      return [
        { title: "Slice", value: (slice) => `${title(slice)} ${slice.value}`, cell: (slice) => hs.h("span", {}, hs.h("span", { class: "muted" }, hs.name(title(slice), 24), " "), hs.name(slice.value, 40)) },
        { title: "Split", value: (slice) => slice.split, cell: (slice) => hs.name(slice.split, 20) },
        { title: "Samples", isNumber: true, value: (slice) => slice.n, cell: (slice) => hs.count(slice.n) },
        { title: "Figure", value: (slice) => slice.figure, cell: (slice) => hs.name(slice.figure, 24) },
        { title: "Value", isNumber: true, value: (slice) => slice.figure_value, cell: (slice) => hs.figure(slice.figure_value) },
        { title: "The rest", isNumber: true, about: "The same figure of all other samples of the split", value: (slice) => slice.rest, cell: (slice) => hs.figure(slice.rest) },
        { title: "95 % interval", cell: (slice) => hs.h("span", { class: "figures" }, hs.interval(slice.interval, hs.figure) || "–") },
        { title: "Drawn", cell: (slice) => hs.whisker({ value: slice.figure_value, interval: slice.interval, low, high, mark: Number.isFinite(slice.rest) ? slice.rest : null, words: `${hs.figure(slice.figure_value)}, the rest ${hs.figure(slice.rest)}` }) },
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
      return within.length ? [hs.figure(hits / within.length), hs.h("span", { class: "muted" }, ` of ${hs.count(within.length)}`)] : "–";
    }

    // What filters by a slice; null where no column of the page holds it.
    filtering(slice) {
      const { model } = this.store;
      const column = model.column(slice.column);
      if (!column || (column.isCategory && !column.names.includes(String(slice.value)))) return null;
      const filter = hs.valueFilter(column, slice.value);
      if (!filter) return null;
      return () => {
        const split = slice.column === "split" ? null : hs.valueFilter(model.column("split"), slice.split);
        this.store.change({ ...(split ? { split } : {}), [column.name]: hs.valueFilter(column, slice.value) });
      };
    }
  }
})(headstart);
