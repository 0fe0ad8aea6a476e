// What the views of a run share: which predictions count, and a choice of the run where there are two.
(function (hs) {
  // Places of the predictions that the filters let through, with a label and a prediction that the run knows.
  hs.evaluated = (store, run = store.run) => {
    const { mask } = store;
    const { rows, prediction, classes, isSingle } = run;
    const places = new Uint32Array(rows.length);
    let found = 0;
    for (let place = 0; place < rows.length; place += 1) {
      const isKnown = mask[rows[place]] && run.labelled(place);
      if (isKnown && (!isSingle || prediction[place] < classes.length)) places[found++] = place;
    }
    return places.subarray(0, found);
  };

  hs.isSingleRun = (model) => model.runs.some((run) => run.isSingle);

  hs.runChoice = (store) => {
    const { runs } = store.model;
    if (runs.length < 2) return null;
    const options = runs.map((run, place) => [String(place), `${"ab"[place] || place + 1}: ${run.name}`]);
    return hs.field(
      "Run",
      hs.select(options, String(store.chosen.run), (value) => store.choose({ run: Number(value) })),
    );
  };

  // "Of 372 predictions in the test split": what the figures of a view are of.
  hs.basis = (store, n) => {
    const split = store.filters.get("split");
    const others = store.filters.size - (split ? 1 : 0);
    return hs.h(
      "p",
      { class: "about" },
      `Of ${hs.plural(n, "prediction")}`,
      split ? [", split ", hs.h("bdi", {}, split.detail)] : ", all splits",
      others ? `, with ${hs.plural(others, "more filter")}` : "",
      ". Change it in the filters above.",
    );
  };

  // The first column of a table of slices: which column, and which of its values.
  hs.sliceColumn = (model) => {
    const titles = new Map(model.columns.map(({ name, title }) => [name, title]));
    const title = (slice) => titles.get(slice.column) || slice.column;
    return {
      title: "Slice",
      value: (slice) => `${title(slice)} ${slice.value}`,
      cell: (slice) =>
        hs.h("span", {}, hs.h("span", { class: "muted" }, hs.name(title(slice), 24), " "), hs.name(slice.value, 40)),
    };
  };

  // What filters by a slice, as a press on its line does; null where no column of the page holds it.
  hs.sliceFilter = (store, slice) => {
    const { model } = store;
    const column = model.column(slice.column);
    if (!column || (column.isCategory && !column.names.includes(String(slice.value)))) return null;
    return () => {
      const split = slice.split && slice.column !== "split" && hs.valueFilter(model.column("split"), slice.split);
      const filter = hs.valueFilter(column, slice.value);
      if (filter) store.change({ ...(split ? { split } : {}), [column.name]: filter });
    };
  };

  // The column of a run's predictions: "prediction", or "prediction.a" and "prediction.b" of two.
  hs.columnOf = (store, stem) => store.model.column(stem) || store.model.column(`${stem}.${"ab"[store.chosen.run]}`);
})(headstart);
