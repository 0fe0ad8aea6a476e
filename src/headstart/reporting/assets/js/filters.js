// The filter bar that all views share: search, filters by any column, chips that take each out again.
(function (hs) {
  const WAIT = 200; // ms behind the last letter, before a search starts

  hs.FilterBar = class FilterBar {
    constructor(store, element) {
      Object.assign(this, { store, element });
      this.search = new hs.Search(store.model);
      this.input = hs.h("input", {
        type: "search",
        autocomplete: "off",
        spellcheck: "false",
        dir: "auto",
        placeholder: "Search ids, texts, labels",
        "aria-label": "Search ids, texts, labels, predictions",
      });
      this.input.addEventListener("input", () => this.typed());
      this.panel = hs.h("div", { class: "filter-panel", id: hs.newId("panel"), hidden: true });
      this.opener = hs.button("Add a filter", () => this.toggle(), {
        "aria-expanded": "false",
        "aria-controls": this.panel.id,
      });
      this.chips = hs.h("ul", { class: "chips", "aria-label": "Filters that are on" });
      this.total = hs.h("p", { class: "total figures" });
      this.column = store.model.columns[0] || null;
      hs.replace(
        element,
        hs.h("div", { class: "filter-row" }, this.input, this.opener, this.chips, this.total),
        this.panel,
      );
      element.addEventListener("keydown", (event) => event.key === "Escape" && !this.panel.hidden && this.toggle());
      store.on((what) => what === "filter" && this.update());
      this.update();
    }

    typed() {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => {
        const words = this.input.value.trim();
        this.store.change({ search: words ? this.search.find(words) : null });
      }, WAIT);
    }

    toggle() {
      this.panel.hidden = !this.panel.hidden;
      this.opener.setAttribute("aria-expanded", String(!this.panel.hidden));
      if (this.panel.hidden) this.opener.focus();
      else this.drawPanel();
    }

    update() {
      const { store } = this;
      if (!store.filters.has("search") && document.activeElement !== this.input) this.input.value = "";
      hs.replace(this.total, hs.h("strong", {}, hs.count(store.count)), ` of ${hs.plural(store.model.n, "sample")}`);
      hs.replace(
        this.chips,
        [...store.filters.values()].map((filter) => hs.h("li", {}, this.chip(filter))),
        store.filters.size > 1
          ? hs.h(
              "li",
              {},
              hs.button("Clear all", () => this.clear(), { class: "link" }),
            )
          : null,
      );
      if (!this.panel.hidden) this.drawValues();
    }

    chip(filter) {
      const words = [
        hs.name(filter.title, 24),
        ": ",
        hs.h("bdi", {}, filter.detail),
        hs.h("span", { "aria-hidden": "true", class: "cross" }, "×"),
      ];
      return hs.button(
        words,
        () => {
          if (filter.id === "search") this.input.value = "";
          this.store.change({ [filter.id]: null });
          this.opener.focus(); // not the search: keys that decide about samples would go into it
        },
        { class: "chip", "aria-label": `Remove the filter ${hs.short(filter.title, 40)}: ${filter.detail}` },
      );
    }

    clear() {
      this.input.value = "";
      this.store.clear();
      this.opener.focus();
    }

    drawPanel() {
      const { columns } = this.store.model;
      this.values = hs.h("div", { class: "values" });
      const pick = hs.select(
        columns.map((column) => [column.name, column.title]),
        this.column && this.column.name,
        (name) => {
          this.column = this.store.model.column(name);
          this.drawValues();
        },
      );
      hs.replace(
        this.panel,
        hs.field("Column", pick),
        this.values,
        hs.button("Done", () => this.toggle(), { class: "main" }),
      );
      this.drawn = null;
      this.drawValues();
      pick.focus();
    }

    drawValues() {
      const { column } = this;
      if (!column) return void hs.replace(this.values, hs.h("p", { class: "empty" }, "The samples have no columns."));
      if (this.drawn === column) return void this.editor.draw(); // in place: what has the focus keeps it
      this.drawn = column;
      this.editor = new (column.isCategory ? Categories : Range)(this.store, column);
      hs.replace(this.values, this.editor.element);
    }
  };

  // How many samples each category has among those that all other filters let through.
  hs.countCategories = (store, column) => {
    const counts = new Uint32Array(column.names.length + 1);
    const { codes } = column;
    const others = [...store.filters.values()].filter(({ id }) => id !== column.name);
    const mask = others.length === store.filters.size ? store.mask : combined(others, store.model.n);
    for (let row = 0; row < codes.length; row += 1) counts[codes[row]] += mask[row];
    return counts;
  };

  function combined(filters, n) {
    const mask = new Uint8Array(n).fill(1);
    for (const filter of filters) for (let row = 0; row < n; row += 1) mask[row] &= filter.mask[row];
    return mask;
  }

  // Puts one category into the filter of its column, or takes it out.
  hs.toggleCategory = (store, column, code) => {
    const before = store.filters.get(column.name);
    const codes = new Set(before ? before.codes : []);
    if (!codes.delete(code)) codes.add(code);
    store.change({ [column.name]: codes.size ? hs.categoryFilter(column, [...codes]) : null });
  };

  class Categories {
    constructor(store, column) {
      Object.assign(this, { store, column });
      this.find = hs.h("input", {
        type: "search",
        placeholder: "Find a value",
        "aria-label": `Find a value of ${hs.short(column.title, 40)}`,
        on: { input: () => this.draw() },
      });
      this.list = hs.h("div", {
        class: "checks",
        role: "group",
        "aria-label": `Values of ${hs.short(column.title, 40)}`,
      });
      this.element = hs.h("div", {}, column.names.length > 12 ? this.find : null, this.list);
      this.draw();
    }

    draw() {
      const { store, column } = this;
      const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.code : null;
      const counts = hs.countCategories(store, column);
      const chosen = new Set(store.filters.has(column.name) ? store.filters.get(column.name).codes : []);
      const typed = this.find.value.trim().toLowerCase();
      const codes = Array.from(counts.keys()).filter(
        (code) =>
          (chosen.has(code) || code < column.names.length || counts[code]) &&
          column.nameAt(code).toLowerCase().includes(typed),
      );
      if (column.names.length > 12) codes.sort((a, b) => chosen.has(b) - chosen.has(a) || counts[b] - counts[a]);
      hs.replace(
        this.list,
        codes.slice(0, hs.PAGE).map((code) => this.check(code, counts[code], chosen.has(code))),
        codes.length > hs.PAGE
          ? hs.h("p", { class: "muted" }, `${hs.count(codes.length - hs.PAGE)} more: find them by name`)
          : null,
      );
      const again = focused !== null && this.list.querySelector(`[data-code="${focused}"]`);
      if (again) again.focus();
    }

    check(code, count, isOn) {
      const words = [
        hs.name(this.column.nameAt(code), 48),
        hs.h("span", { class: "figures muted" }, ` ${hs.count(count)}`),
      ];
      const label = hs.check(words, isOn, () => hs.toggleCategory(this.store, this.column, code));
      label.querySelector("input").dataset.code = code;
      return label;
    }
  }

  class Range {
    constructor(store, column) {
      Object.assign(this, { store, column });
      [this.low, this.high] = column.range();
      [this.from, this.to] = [this.input("Lowest"), this.input("Highest")];
      this.bars = hs.h("div", {});
      this.element = hs.h(
        "div",
        { class: "range" },
        this.bars,
        hs.h(
          "div",
          { class: "range-fields" },
          this.from,
          hs.h("span", {}, "to"),
          this.to,
          hs.button("Apply", () => this.apply()),
        ),
      );
      this.draw();
    }

    input(name) {
      return hs.h("input", {
        type: "number",
        step: "any",
        "aria-label": `${name} ${hs.short(this.column.title, 40)}`,
        on: { keydown: (event) => event.key === "Enter" && this.apply() },
      });
    }

    draw() {
      const { store, column, low, high } = this;
      const now = store.filters.get(column.name) || { low, high };
      this.write(this.from, now.low);
      this.write(this.to, now.high);
      hs.replace(
        this.bars,
        hs.histogram(binned(store, column, low, high), `Distribution of ${hs.short(column.title, 40)}`),
      );
    }

    // Short, but what was not changed stands for what it was written from: or the lowest value would fall out.
    write(field, value) {
      field.value = field.defaultValue = String(Number(value.toPrecision(6)));
      field.dataset.exact = String(value);
    }

    apply() {
      const [a, b] = [this.from, this.to].map((field, end) => {
        if (field.value === "") return [this.low, this.high][end];
        return Number(field.value === field.defaultValue ? field.dataset.exact : field.value);
      });
      this.store.change({ [this.column.name]: hs.rangeFilter(this.column, Math.min(a, b), Math.max(a, b)) });
    }
  }

  function binned(store, column, low, high) {
    const counts = new Uint32Array(40);
    const scale = 39.999 / (high - low || 1);
    const { values } = column;
    for (let row = 0; row < values.length; row += 1)
      if (store.mask[row] && values[row] >= low) counts[Math.floor((values[row] - low) * scale)] += 1;
    return [...counts];
  }
})(headstart);
