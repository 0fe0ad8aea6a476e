// The mistakes of a run, most confident first, each with what it looks like and its nearest training samples.
(function (hs) {
  hs.view({
    id: "mistakes",
    title: "Mistakes",
    order: 20,
    hears: ["decision"],
    isFor: (model) =>
      model.runs.length > 0 && Boolean(hs.isSingleRun(model) || wrongColumn(model, 0) || queueOf(model)),
    build(store) {
      const list = new hs.SampleList(store, {
        more: (row) => more(store, row),
        beside: (row) => hs.neighbours(store, row),
        empty: "No mistake among the samples that pass the filters.",
      });
      const basis = hs.h("div", {});
      const tools = hs.h("div", { class: "toolbar" });
      const update = (what) => {
        if (what === "decision") return list.draw();
        const rows = mistakes(store);
        hs.replace(tools, hs.runChoice(store));
        hs.replace(
          basis,
          hs.h(
            "p",
            { class: "about" },
            `${hs.count(rows.length)} among the samples that pass the filters. `,
            store.run.isSingle
              ? "The most confident come first."
              : hs.short((queueOf(store.model) || {}).about || "", 400),
          ),
        );
        return list.show(rows);
      };
      return { element: hs.h("div", {}, hs.heading("Mistakes"), basis, tools, list.element), update };
    },
  });

  const wrongColumn = (model, run) => model.column("right") || model.column(`right.${"ab"[run]}`);
  const queueOf = (model) => model.queues.find(({ name }) => name === "mistakes");

  function mistakes(store) {
    const { run, model } = store;
    if (run.isSingle) {
      const wrong = hs.evaluated(store).filter((place) => run.label[place] !== run.prediction[place]);
      if (run.confidence) wrong.sort((a, b) => run.confidence[b] - run.confidence[a] || a - b);
      return wrong.map((place) => run.rows[place]);
    }
    const queue = queueOf(model);
    const column = wrongColumn(model, store.chosen.run);
    if (queue && (model.runs.length === 1 || !column)) return store.shown(queue.rows);
    const code = column.names.indexOf("wrong");
    const wrong = store.rows().filter((row) => column.codes[row] === code);
    return run.confidence
      ? wrong.sort((a, b) => run.confidence[run.placeOf(b)] - run.confidence[run.placeOf(a)] || a - b)
      : wrong;
  }

  function more(store, row) {
    const { run } = store;
    const place = run.placeOf(row);
    const known = place >= 0 && run.isSingle && run.hasProbabilities && run.label[place] < run.classes.length;
    const confidence =
      place >= 0 && run.confidence ? [`probability of the prediction ${hs.share(run.confidence[place])}`] : [];
    const label = known ? [`of the label ${hs.share(run.probability(place, run.label[place]))}`] : [];
    return hs.h("span", { class: "muted figures" }, [...confidence, ...label].join(", "));
  }
})(headstart);
