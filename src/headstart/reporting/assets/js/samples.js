// Samples as one sees them: the picture or text, what was said of it, its neighbours; and lists of them.
(function (hs) {
  // The picture and text of a sample, as far as the page has them.
  hs.face = (model, row, size = "small") => {
    const [url, text] = [model.thumb(row), model.text(row)];
    const longest = { tiny: 60, small: 200 }[size] || 20000;
    const parts = [];
    if (url) parts.push(hs.picture(url, `Picture of ${hs.short(model.ids[row], 60)}`, size));
    if (text) parts.push(hs.prose(text, longest, { class: size }));
    if (!parts.length && model.thumbs)
      parts.push(hs.h("span", { class: `picture ${size}` }, hs.h("span", { class: "no-picture" }, "not on this page")));
    return parts.length ? hs.h("div", { class: `face ${size}` }, parts) : null;
  };

  const tag = (text, name) => hs.h("span", { class: `tag ${name}` }, hs.name(text, 48));

  // "right", "wrong", or "" where nobody can say: a number is hardly ever met exactly.
  hs.judgement = (model, row, run) => {
    const column = model.column("right") || model.column(`right.${"ab"[model.runs.indexOf(run)]}`);
    if (column && column.isCategory) return column.nameOf(row) || "";
    const [label, said] = [model.label(row), model.prediction(row, run)];
    return run.isSingle && label !== "" && said !== null ? (said === label ? "right" : "wrong") : "";
  };

  // "label a → prediction b", as far as they are known.
  hs.verdict = (model, row, run) => {
    const [label, said] = [model.label(row), model.prediction(row, run)];
    const expected = run && run.expected && run.placeOf(row) >= 0 ? run.expected[run.placeOf(row)] : label;
    return hs.h(
      "span",
      { class: "verdict" },
      expected === ""
        ? hs.h("span", { class: "muted" }, "no label")
        : [hs.h("span", { class: "unseen" }, "label "), tag(expected, "given")],
      said === null
        ? null
        : [
            hs.h("span", { "aria-hidden": "true", class: "muted" }, " → "),
            hs.h("span", { class: "unseen" }, " predicted "),
            tag(said, hs.judgement(model, row, run)),
          ],
    );
  };

  hs.opener = (store, row, label = null) =>
    hs.button(
      label || hs.name(store.model.ids[row], 60),
      (event) => {
        store.opener = event.currentTarget;
        store.choose({ pinned: row });
      },
      { class: "link" },
    );

  // The nearest training samples, each a button that opens it.
  hs.neighbours = (store, row, most = 8) => {
    const { model } = store;
    const found = model.neighbours(row).slice(0, most);
    if (!found.length) return null;
    return hs.h(
      "div",
      { class: "neighbours" },
      hs.h("span", { class: "small-title" }, "Nearest training samples"),
      hs.h(
        "ul",
        {},
        found.map(({ row: near, cosine }) => hs.h("li", {}, neighbour(store, row, near, cosine))),
      ),
    );
  };

  function neighbour(store, row, near, cosine) {
    const { model } = store;
    const [url, text] = [model.thumb(near), model.text(near)];
    const words = [
      text ? hs.prose(text, 120, { class: "tiny" }) : hs.name(model.ids[near], 24),
      itsLabel(model, row, near),
      hs.h("span", { class: "figures muted" }, hs.fixed(cosine, 2)),
    ];
    if (url) words[0] = hs.picture(url, `Picture of ${hs.short(model.ids[near], 60)}`, "tiny");
    const open = (event) => {
      store.opener = event.currentTarget;
      store.choose({ pinned: near });
    };
    return hs.button(words, open, { class: url ? "near" : "near wide", title: hs.short(model.ids[near], 80) });
  }

  // A neighbour's label; of classes also whether it is the same.
  function itsLabel(model, row, near) {
    const [own, its] = [model.label(row), model.label(near)];
    const kind = model.labelInfo ? model.labelInfo.kind : "";
    if (!its) return hs.h("span", { class: "muted" }, "no label");
    if (kind === "regression") return hs.h("span", { class: "figures" }, hs.number(Number(its)));
    const likeness = kind !== "single" ? "" : its === own ? "same" : "other";
    return hs.h("span", { class: `its ${likeness}` }, hs.name(its, 18));
  }

  // A list of samples, fifty on a page; `more(row)` adds to the words of each, `beside(row)` stands beside them.
  hs.SampleList = class SampleList {
    constructor(store, { more = null, beside = null, empty = "No sample here.", run = null } = {}) {
      Object.assign(this, { store, more, beside, empty, run });
      this.start = 0;
      this.rows = [];
      this.element = hs.h("div", { class: "sample-list", tabindex: -1 });
    }

    // Rows in the order in which to show them; keeps the page if they are the same in number.
    show(rows) {
      if (rows.length !== this.rows.length) this.start = 0;
      this.rows = rows;
      this.draw();
      return this.element;
    }

    draw() {
      hs.keepFocus(this.element, () => this.fill());
    }

    fill() {
      const turn = (start) => {
        this.start = start;
        this.draw();
        this.element.scrollIntoView({ block: "start" });
      };
      const page = Array.from(this.rows.slice(this.start, this.start + hs.PAGE));
      hs.replace(
        this.element,
        page.length
          ? hs.h(
              "ul",
              { class: "samples" },
              page.map((row) => this.item(row)),
            )
          : hs.h("p", { class: "empty" }, this.empty),
        hs.pager(this.rows.length, this.start, turn),
      );
    }

    item(row) {
      const { store } = this;
      const decision = store.decisions.get(row);
      return hs.h(
        "li",
        { class: "sample" },
        hs.face(store.model, row, "small"),
        hs.h(
          "div",
          { class: "sample-words" },
          hs.h(
            "div",
            { class: "sample-head" },
            hs.opener(store, row),
            decision && hs.h("span", { class: `decided ${decision.action}` }, hs.ACTIONS[decision.action]),
          ),
          hs.verdict(store.model, row, this.run || store.run),
          this.more ? this.more(row) : null,
        ),
        this.beside ? this.beside(row) : null,
      );
    }
  };

  hs.views = [];
  // A view: {id, title, isFor(model), build(store) -> {element, update(what)}}.
  hs.view = (view) => hs.views.push(view);

  hs.heading = (title, about = null) => [hs.h("h2", {}, title), about && hs.h("p", { class: "about" }, about)];

  hs.view({
    id: "samples",
    title: "Samples",
    order: 80,
    hears: ["decision"],
    isFor: (model) => model.n > 0,
    build(store) {
      const list = new hs.SampleList(store, {
        more: (row) => facts(store.model, row),
        empty: "No sample passes the filters.",
      });
      const order = { column: "", isDown: true };
      const sortable = store.model.columns.filter((column) => !column.isCategory);
      const update = (what) => (what === "decision" ? list.draw() : list.show(sorted(store, order)));
      const pick = hs.select(
        [
          ["", "as in the set"],
          ...sortable.flatMap((column) => [
            [`-${column.name}`, `${column.title}, highest first`],
            [`+${column.name}`, `${column.title}, lowest first`],
          ]),
        ],
        "",
        (value) => {
          Object.assign(order, { column: value.slice(1), isDown: value[0] === "-" });
          update();
        },
      );
      const element = hs.h(
        "div",
        {},
        hs.heading("Samples", "All samples that pass the filters."),
        sortable.length ? hs.h("div", { class: "toolbar" }, hs.field("Order", pick)) : null,
        list.element,
      );
      return { element, update };
    },
  });

  const orders = new Map();

  function sorted(store, { column, isDown }) {
    const found = column && store.model.column(column);
    if (!found) return store.rows();
    const name = `${isDown ? "-" : "+"}${column}`;
    if (!orders.has(name)) orders.set(name, orderOf(found, isDown));
    return orders.get(name).filter((row) => store.mask[row]);
  }

  // All rows by a number, once: a filter then only has to pick from them.
  function orderOf({ values }, isDown) {
    const sign = isDown ? -1 : 1;
    const missing = (row) => Number(Number.isNaN(values[row]));
    return Uint32Array.from(values.keys()).sort(
      (a, b) => missing(a) - missing(b) || sign * (values[a] - values[b]) || a - b,
    );
  }

  function facts(model, row) {
    const shown = model.columns
      .filter(({ name }) => name === "split" || name === "confidence" || name.startsWith("meta:"))
      .slice(0, 6);
    return hs.h(
      "span",
      { class: "muted facts" },
      shown.map((column) => [`${hs.short(column.title, 24)}: `, hs.name(column.say(row), 32), "  "]),
    );
  }
})(headstart);
