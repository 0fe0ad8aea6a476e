// Few shots and learning curves: each head at each size, with its interval and its deviation over the draws.
(function (hs) {
  // Sections of a run, one for each protocol of its draws.
  hs.curves = (run, isNamed) =>
    run.curves.map((curve) => {
      const title = isNamed ? [`${curve.title} of `, hs.name(run.name, 40)] : curve.title;
      const about = `Means over draws of train samples, on the ${hs.short(curve.split, 40)} split.`;
      const table = new hs.Table({ caption: curve.title, columns: columnsOf(curve) });
      return hs.h("section", {}, hs.heading(title, about), table.show(curve.rows), notes(curve));
    });

  function notes({ notes: said }) {
    if (!said.length) return null;
    return hs.h(
      "ul",
      { class: "muted" },
      said.map((note) => hs.h("li", { dir: "auto" }, hs.short(note, 1000))),
    );
  }

  function columnsOf(curve) {
    const isSeveral = new Set(curve.rows.map(({ name }) => name)).size > 1;
    const head = { title: "Head", value: ({ name }) => name, cell: ({ name }) => hs.name(name, 48) };
    return [
      ...(isSeveral ? [head] : []),
      {
        title: curve.noun[0].toUpperCase() + curve.noun.slice(1),
        isNumber: true,
        value: ({ size }) => size,
        cell: ({ size, share }) => (share ? `${hs.count(size)} (${share})` : hs.count(size)),
      },
      hs.numberColumn("Draws", "draws", hs.count),
      ...curve.figures.flatMap((title, place) => figureColumns(curve, title, place)),
    ];
  }

  function figureColumns(curve, title, place) {
    const of = ({ values }) => values[place];
    const mean = {
      title,
      isNumber: true,
      about: "Mean and standard deviation over the draws",
      value: (row) => of(row).mean,
      cell: (row) => {
        const { mean: value, deviation } = of(row);
        return Number.isFinite(deviation) ? `${hs.figure(value)} ± ${hs.figure(deviation)}` : hs.figure(value);
      },
    };
    if (!curve.rows.some((row) => of(row).interval)) return [mean];
    const interval = {
      title: "95 %",
      cell: (row) => hs.h("span", { class: "figures" }, hs.interval(of(row).interval, hs.figure) || "–"),
    };
    return [mean, interval];
  }
})(headstart);
