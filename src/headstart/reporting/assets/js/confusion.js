// The confusion matrix: each cell opens its samples.
(function (hs) {
  const [FEW, MANY] = [30, 100]; // classes shown at first, and as a table at all

  hs.view({
    id: "confusion",
    title: "Confusion",
    order: 10,
    hears: ["decision", "theme"],
    isFor: hs.isSingleRun,
    build: (store) => new Confusion(store),
  });

  // What was said how often of what: cells that are not empty, each {label, said, n}.
  function count(run, places) {
    const width = run.classes.length;
    const cells = new Map();
    for (const place of places) {
      const at = run.label[place] * width + run.prediction[place];
      cells.set(at, (cells.get(at) || 0) + 1);
    }
    return [...cells].map(([at, n]) => ({ label: Math.floor(at / width), said: at % width, n }));
  }

  class Confusion {
    constructor(store) {
      Object.assign(this, { store, open: null, shows: "count", isAll: false });
      this.tools = hs.h("div", { class: "toolbar" });
      this.matrix = hs.h("div", {});
      this.basis = hs.h("div", {});
      this.detail = hs.h("section", {
        class: "cell-samples",
        "aria-label": "Samples of a cell, or the most confused pairs",
        tabindex: -1,
      });
      this.list = new hs.SampleList(store, { more: (row) => this.confidence(row) });
      this.pairs = this.pairTable();
      this.element = hs.h(
        "div",
        {},
        hs.heading("Confusion matrix", "Rows are labels, columns predictions. Press a cell to see its samples."),
        this.basis,
        this.tools,
        hs.h("div", { class: "confusion-body" }, this.matrix, this.detail),
      );
    }

    pairTable() {
      const name = (code) => hs.name(this.run.classes[code], 40);
      const share = (cell) => cell.n / this.support[cell.label];
      return new hs.Table({
        caption: "Most confused pairs",
        sortBy: 2,
        onRow: (cell) => () => this.choose(cell),
        rowLabel: "Show these samples",
        columns: [
          { title: "Label", value: (cell) => this.run.classes[cell.label], cell: (cell) => name(cell.label) },
          { title: "Predicted", value: (cell) => this.run.classes[cell.said], cell: (cell) => name(cell.said) },
          hs.numberColumn("Samples", "n", hs.count),
          { title: "Of the label's", isNumber: true, value: share, cell: (cell) => hs.share(share(cell)) },
        ],
      });
    }

    update(what) {
      if (what === "decision") return void (this.open && this.list.draw());
      this.run = this.store.run;
      this.places = hs.evaluated(this.store);
      this.cells = count(this.run, this.places);
      this.support = new Uint32Array(this.run.classes.length);
      for (const { label, n } of this.cells) this.support[label] += n;
      hs.replace(this.basis, hs.basis(this.store, this.places.length));
      this.drawTools();
      this.drawMatrix();
      this.pairs.show(this.cells.filter(({ label, said }) => label !== said));
      this.drawDetail();
    }

    drawTools() {
      const n = this.run.classes.length;
      hs.replace(
        this.tools,
        hs.runChoice(this.store),
        hs.field(
          "Cells show",
          hs.select(
            [
              ["count", "samples"],
              ["share", "share of the label"],
            ],
            this.shows,
            (value) => {
              this.shows = value;
              this.drawMatrix();
            },
          ),
        ),
        n > FEW
          ? hs.check(`All ${hs.count(n)} classes`, this.isAll, (isAll) => {
              this.isAll = isAll;
              this.drawMatrix();
            })
          : null,
      );
    }

    // The classes that mistakes are about most, in the order of the run.
    shown() {
      const n = this.run.classes.length;
      const all = Array.from({ length: n }, (_, code) => code);
      if (n <= FEW || this.isAll) return all;
      const mistakes = new Float64Array(n);
      for (const cell of this.cells) {
        if (cell.label === cell.said) continue;
        mistakes[cell.label] += cell.n;
        mistakes[cell.said] += cell.n;
      }
      return all
        .sort((a, b) => mistakes[b] - mistakes[a] || a - b)
        .slice(0, FEW)
        .sort((a, b) => a - b);
    }

    drawMatrix() {
      const codes = this.shown();
      hs.replace(this.matrix, codes.length > MANY ? this.heat(codes) : this.table(codes));
    }

    table(codes) {
      const { classes } = this.run;
      const found = new Map(this.cells.map((cell) => [`${cell.label},${cell.said}`, cell]));
      const head = hs.h(
        "tr",
        {},
        hs.h("td", { class: "corner" }, hs.h("span", {}, "label ↓ predicted →")),
        codes.map((code) =>
          hs.h("th", { scope: "col" }, hs.h("span", { class: "turned" }, hs.name(classes[code], 20))),
        ),
      );
      const lines = codes.map((label) =>
        hs.h(
          "tr",
          {},
          hs.h("th", { scope: "row" }, hs.name(classes[label], 22)),
          codes.map((said) => this.cell(found.get(`${label},${said}`), label, said)),
        ),
      );
      return hs.h(
        "div",
        { class: "scroll", tabindex: 0, role: "region", "aria-label": "Confusion matrix" },
        hs.h(
          "table",
          { class: `confusion ${codes.length > 16 ? "dense" : ""}` },
          hs.h("caption", { class: "unseen" }, "Confusion matrix: rows are labels, columns predictions"),
          hs.h("thead", {}, head),
          hs.h("tbody", {}, lines),
        ),
      );
    }

    cell(cell, label, said) {
      if (!cell) return hs.h("td", { class: label === said ? "diagonal" : null }, hs.h("span", { class: "zero" }, "·"));
      const share = cell.n / this.support[label];
      const { classes } = this.run;
      const words = `${hs.plural(cell.n, "sample")} of ${hs.short(classes[label], 40)} predicted as ${hs.short(classes[said], 40)}`;
      const isOpen = this.open && this.open.label === label && this.open.said === said;
      const button = hs.button(
        this.shows === "count" ? hs.count(cell.n) : (100 * share).toFixed(0),
        () => this.choose(cell),
        {
          "aria-label": words,
          title: words,
          "aria-pressed": String(Boolean(isOpen)),
          class: label === said ? "hit" : "miss",
          "data-cell": `${label},${said}`,
        },
      );
      // Mistakes by the square root: one of a hundred must be seen beside the ninety-nine.
      const strength = label === said ? 8 + 34 * share : 12 + 50 * Math.sqrt(share);
      button.style.backgroundColor = `color-mix(in srgb, var(--${label === said ? "hit" : "miss"}) ${strength.toFixed(0)}%, var(--surface))`;
      return hs.h("td", { class: label === said ? "diagonal" : null }, button);
    }

    // Too many classes for a table: a picture to press into; the pairs below say the same in words.
    heat(codes) {
      const size = codes.length;
      const canvas = hs.h("canvas", {
        class: "heat",
        width: size,
        height: size,
        role: "img",
        "aria-label": `Confusion matrix of ${hs.count(size)} classes; the table of the most confused pairs says the same`,
      });
      const context = canvas.getContext("2d");
      const image = context.createImageData(size, size);
      const [hit, miss, surface] = ["--hit", "--miss", "--surface"].map(hs.themed);
      for (let i = 0; i < size * size; i += 1) image.data.set([...surface, 255], 4 * i);
      for (const { label, said, n } of this.cells) {
        const strength = 0.25 + 0.75 * Math.sqrt(n / this.support[label]);
        const colour = label === said ? hit : miss;
        image.data.set(
          [...colour.map((part, i) => part * strength + surface[i] * (1 - strength)), 255],
          4 * (label * size + said),
        );
      }
      context.putImageData(image, 0, 0);
      canvas.addEventListener("click", (event) => {
        const box = canvas.getBoundingClientRect();
        const [said, label] = [
          Math.floor((size * (event.clientX - box.left)) / box.width),
          Math.floor((size * (event.clientY - box.top)) / box.height),
        ];
        const cell = this.cells.find((one) => one.label === label && one.said === said);
        if (cell) this.choose(cell);
      });
      return canvas;
    }

    choose(cell) {
      this.open = { label: cell.label, said: cell.said };
      const focused = document.activeElement && document.activeElement.dataset.cell;
      this.drawMatrix();
      this.drawDetail();
      const again = focused && this.matrix.querySelector(`[data-cell="${focused}"]`);
      if (again) again.focus({ preventScroll: true });
      this.detail.scrollIntoView({ block: "nearest" });
      hs.announce(`${hs.plural(this.list.rows.length, "sample")} below`);
    }

    drawDetail() {
      if (!this.open) return void hs.replace(this.detail, hs.h("h3", {}, "Most confused pairs"), this.pairs.element);
      const { run, open, store } = this;
      const rows = this.places.filter(
        (place) => run.label[place] === open.label && run.prediction[place] === open.said,
      );
      const ordered = run.confidence ? rows.sort((a, b) => run.confidence[b] - run.confidence[a] || a - b) : rows;
      const [label, said] = [run.classes[open.label], run.classes[open.said]];
      const filter = () =>
        store.change({
          label: hs.valueFilter(store.model.column("label"), label),
          [hs.columnOf(store, "prediction").name]: hs.valueFilter(hs.columnOf(store, "prediction"), said),
        });
      const canFilter =
        hs.valueFilter(store.model.column("label"), label) && hs.valueFilter(hs.columnOf(store, "prediction"), said);
      hs.replace(
        this.detail,
        hs.h("h3", {}, hs.name(label, 40), " predicted as ", hs.name(said, 40)),
        hs.h(
          "div",
          { class: "toolbar" },
          canFilter ? hs.button("Filter all views by this", filter) : null,
          hs.button("Close", () => this.close(), { class: "quiet" }),
        ),
        this.list.show(ordered.map((place) => run.rows[place])),
      );
    }

    close() {
      this.open = null;
      this.drawMatrix();
      this.drawDetail();
      const first = this.matrix.querySelector("button");
      if (first) first.focus();
    }

    confidence(row) {
      const { run } = this;
      return run.confidence
        ? hs.h("span", { class: "muted figures" }, `confidence ${hs.share(run.confidence[run.placeOf(row)])}`)
        : null;
    }
  }
})(headstart);
