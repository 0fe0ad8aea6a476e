// The one store: filters, what is chosen, decisions. Views subscribe; they never talk to each other.
(function (hs) {
  hs.Store = class Store {
    constructor(model) {
      this.model = model;
      this.filters = new Map(); // id -> {id, title, detail, mask}: masks are made once and only combined again
      this.mask = new Uint8Array(model.n).fill(1);
      this.count = model.n;
      this.decisions = new hs.Decisions();
      this.chosen = { colour: null, pinned: null, hovered: null, run: 0 };
      this.listeners = [];
      this.readRows = null;
    }

    // `what` is one of filter, choice, decision, theme.
    on(listener) {
      this.listeners.push(listener);
    }

    emit(what, detail) {
      for (const listener of this.listeners) listener(what, detail);
    }

    get run() {
      return this.model.runs[this.chosen.run] || null;
    }

    get isFiltered() {
      return this.filters.size > 0;
    }

    // Rows of the samples that the filters let through, in their order.
    rows() {
      if (!this.readRows) {
        const rows = new Uint32Array(this.count);
        let found = 0;
        for (let row = 0; row < this.mask.length; row += 1) if (this.mask[row]) rows[found++] = row;
        this.readRows = rows;
      }
      return this.readRows;
    }

    // Of some rows those that are shown.
    shown(rows) {
      return rows.filter((row) => this.mask[row]);
    }

    // Puts filters in, or takes them out where null: {id: filter or null}.
    change(filters) {
      performance.mark("headstart:filter");
      for (const [id, filter] of Object.entries(filters)) {
        if (filter) this.filters.set(id, { id, ...filter });
        else this.filters.delete(id);
      }
      this.combine();
      this.emit("filter");
      performance.measure("headstart:filtered", "headstart:filter");
      hs.announce(`${hs.count(this.count)} of ${hs.plural(this.model.n, "sample")} shown`);
    }

    clear() {
      this.change(Object.fromEntries([...this.filters.keys()].map((id) => [id, null])));
    }

    combine() {
      const { mask } = this;
      mask.fill(1);
      for (const filter of this.filters.values()) {
        const part = filter.mask;
        for (let row = 0; row < mask.length; row += 1) mask[row] &= part[row];
      }
      let count = 0;
      for (let row = 0; row < mask.length; row += 1) count += mask[row];
      this.count = count;
      this.readRows = null;
    }

    choose(choice) {
      Object.assign(this.chosen, choice);
      this.emit("choice", choice);
    }

    decide(row, decision) {
      this.decisions.set(row, decision);
      this.emit("decision", row);
      const name = hs.short(this.model.ids[row], 40);
      hs.announce(decision ? `${hs.ACTIONS[decision.action]}: ${name}` : `No decision about ${name}`);
    }

    undo() {
      const row = this.decisions.undo();
      if (row !== null) {
        this.emit("decision", row);
        hs.announce(`Undone: ${hs.short(this.model.ids[row], 40)}`);
      }
      return row;
    }
  };

  // Samples whose category is one of some codes; that of "none" is names.length.
  hs.categoryFilter = (column, codes) => {
    const wanted = new Uint8Array(column.names.length + 1);
    for (const code of codes) wanted[code] = 1;
    const mask = new Uint8Array(column.n);
    const given = column.codes;
    for (let row = 0; row < mask.length; row += 1) mask[row] = wanted[given[row]];
    return { title: column.title, detail: hs.listed(codes.map((code) => column.nameAt(code))), mask, codes };
  };

  // Samples whose number is within [low, high], both included.
  hs.rangeFilter = (column, low, high) => {
    const mask = new Uint8Array(column.n);
    const { values } = column;
    // The page's numbers are float32: a bound that was read as text must not miss the value it was read from.
    const [from, to] = [Math.fround(low), Math.fround(high)];
    for (let row = 0; row < mask.length; row += 1) mask[row] = values[row] >= from && values[row] <= to ? 1 : 0;
    return { title: column.title, detail: `${hs.number(low)} to ${hs.number(high)}`, mask, low, high };
  };

  // A filter by one value of a column, as a slice names it; null if no column has it.
  hs.valueFilter = (column, value) => {
    if (!column) return null;
    if (column.isCategory) {
      const code = column.names.indexOf(String(value));
      return code < 0 ? null : hs.categoryFilter(column, [code]);
    }
    const range = /^[[(]?\s*(-?[\d.]+(?:e[+-]?\d+)?)\s*(?:to|–|,|\.\.)\s*(-?[\d.]+(?:e[+-]?\d+)?)\s*[\])]?$/iu.exec(
      String(value),
    );
    return range && hs.rangeFilter(column, Number(range[1]), Number(range[2]));
  };

  hs.listed = (names) => {
    const shown = names
      .slice(0, 2)
      .map((name) => hs.short(name, 24))
      .join(", ");
    return names.length > 2 ? `${shown} and ${names.length - 2} more` : shown;
  };

  // Finds words in ids, texts and the names of every category.
  hs.Search = class Search {
    constructor(model) {
      this.model = model;
      this.lines = null;
    }

    find(words) {
      const wanted = words.toLowerCase();
      const mask = new Uint8Array(this.model.n);
      for (const lines of this.haystacks()) searchLines(lines, wanted, mask);
      for (const column of this.model.columns) if (column.isCategory) searchNames(column, wanted, mask);
      return { title: "search", detail: `“${hs.short(words, 30)}”`, mask, words };
    }

    // All ids as one string with the place where each begins: one indexOf is faster than a million calls.
    haystacks() {
      if (!this.lines) {
        this.lines = [this.model.ids, this.model.texts].filter(Boolean).map((texts) => {
          const small = texts.map((text) => String(text ?? "").toLowerCase());
          const starts = new Float64Array(small.length + 1);
          for (let i = 0; i < small.length; i += 1) starts[i + 1] = starts[i] + small[i].length + 1;
          return { all: `${small.join("\n")}\n`, starts };
        });
      }
      return this.lines;
    }
  };

  function searchLines({ all, starts }, wanted, mask) {
    let row = 0;
    for (let at = all.indexOf(wanted); at >= 0;) {
      row = lineOf(starts, at, row);
      if (at + wanted.length < starts[row + 1]) mask[row] = 1;
      at = all.indexOf(wanted, mask[row] ? starts[row + 1] : at + 1);
    }
  }

  // The line that a place is in, at or behind `from`: near ones first, since hits come in order.
  function lineOf(starts, at, from) {
    let low = from;
    let step = 1;
    while (low + step < starts.length - 1 && starts[low + step] <= at) {
      low += step;
      step *= 2;
    }
    let high = Math.min(low + step, starts.length - 1);
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (starts[middle] <= at) low = middle;
      else high = middle;
    }
    return low;
  }

  function searchNames(column, wanted, mask) {
    const hits = Uint8Array.from([...column.names, ""], (name) =>
      String(name).toLowerCase().includes(wanted) ? 1 : 0,
    );
    hits[column.names.length] = 0;
    if (!hits.includes(1)) return;
    const { codes } = column;
    for (let row = 0; row < mask.length; row += 1) mask[row] |= hits[codes[row]];
  }

  hs.announce = (words) => {
    const live = document.getElementById("live");
    if (live) live.textContent = words;
  };
})(headstart);
