// The first view: what this is, its figures with intervals, and what was left out.
(function (hs) {
  hs.view({
    id: "overview",
    title: "Overview",
    order: 0,
    isFor: () => true,
    build(store) {
      const { model } = store;
      const element = hs.h(
        "div",
        {},
        notes(model),
        model.comparison ? hs.comparisonFigures(model) : model.runs.map((run) => figures(run, model.runs.length > 1)),
        model.runs.map((run) => hs.curves(run, model.runs.length > 1)),
        hs.h("section", {}, hs.heading("About"), facts(model)),
        model.queues.length ? hs.h("section", {}, hs.heading("To look at"), queues(store)) : null,
      );
      return { element, update() {} };
    },
  });

  function notes(model) {
    if (!model.notes.length) return null;
    return hs.h(
      "details",
      { class: "notes", open: model.notes.length < 4 },
      hs.h("summary", {}, hs.plural(model.notes.length, "note")),
      hs.h(
        "ul",
        {},
        model.notes.map((note) => hs.h("li", { dir: "auto" }, hs.short(note, 1000))),
      ),
    );
  }

  function facts(model) {
    const counts = [
      ["samples", hs.count(model.n)],
      ...(model.set
        ? [
            ["set", model.set.name],
            ["state of the set", model.set.digest],
          ]
        : []),
    ];
    const made = [
      [
        "made",
        [model.created.slice(0, 16).replace("T", " "), model.version && `with headstart ${model.version}`]
          .filter(Boolean)
          .join(" "),
      ],
    ];
    return hs.h(
      "dl",
      { class: "facts-list" },
      [...model.about, ...counts, ...made].map(([name, value]) => [
        hs.h("dt", {}, hs.name(name, 40)),
        hs.h("dd", {}, hs.name(value, 300)),
      ]),
    );
  }

  function figures(run, isNamed) {
    const splits = [...new Set(run.figures.map(({ split }) => split))].sort((a, b) => rank(a) - rank(b));
    const title = isNamed ? ["Figures of ", hs.name(run.name, 40)] : "Figures";
    if (!splits.length)
      return hs.h("section", {}, hs.heading(title), hs.h("p", { class: "empty" }, "This run has no figures."));
    return hs.h(
      "section",
      {},
      hs.heading(title),
      hs.h(
        "div",
        { class: "splits" },
        splits.map((split) =>
          table(
            split,
            run.figures.filter((figure) => figure.split === split),
          ),
        ),
      ),
    );
  }

  const rank = (split) => ["test", "validation", "train"].indexOf(split) >>> 0;
  const isShare = (value) => Number.isFinite(value) && value >= 0 && value <= 1;

  function line(figure) {
    const { interval } = figure;
    const value = hs.figure(figure.value);
    const isDrawn = interval && [figure.value, ...interval].every(isShare);
    const words = interval
      ? hs.h("span", { class: "figures" }, hs.interval(interval, hs.figure))
      : hs.h("span", { class: "muted" }, figure.reason ? hs.short(figure.reason, 200) : "no interval");
    const drawn = isDrawn ? hs.whisker({ value: figure.value, interval, words: `${figure.name} ${value}` }) : null;
    return hs.h(
      "tr",
      {},
      hs.h("th", { scope: "row" }, hs.name(figure.title || figure.name, 60)),
      hs.h("td", { class: "number strong" }, value),
      hs.h("td", {}, words),
      hs.h("td", {}, drawn),
    );
  }

  function table(split, all) {
    const head = ["figure", "value", "95 % interval", "drawn"].map((word) => hs.h("th", { scope: "col" }, word));
    const caption = `Figures of the ${hs.short(split, 40)} split`;
    return hs.h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
      hs.h(
        "table",
        { class: "figures-table" },
        hs.h("caption", {}, hs.name(split, 40)),
        hs.h("thead", { class: "unseen" }, hs.h("tr", {}, head)),
        hs.h("tbody", {}, all.map(line)),
      ),
    );
  }

  function queues(store) {
    return hs.h(
      "ul",
      { class: "to-look" },
      store.model.queues.map((queue, place) =>
        hs.h(
          "li",
          {},
          hs.button(
            [hs.h("strong", { class: "figures" }, hs.count(queue.found)), " ", hs.short(queue.title, 80)],
            () => hs.openQueue(store, place),
            { class: "link" },
          ),
          hs.h("span", { class: "muted" }, ` ${hs.short(queue.about, 400)}`),
        ),
      ),
    );
  }
})(headstart);
