// What a column looks like on the map: a colour for each sample, and the legend that says and filters it.
(function (hs) {
  const [STEPS, MOST] = [256, 60]; // shades of a number; entries of a legend

  const pack = ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;

  // {column, codes, table}: the packed colour of sample i is table[codes[i]].
  hs.colourScheme = (store, column) => {
    if (!column) return { column, codes: new Uint8Array(store.model.n), table: Uint32Array.of(pack(hs.noneColour())) };
    if (column.isCategory) {
      const colours = hs.palette(column);
      return { column, codes: column.codes, colours, table: Uint32Array.from(colours, pack) };
    }
    const [low, high] = middle(column);
    const table = Uint32Array.from({ length: STEPS + 1 }, (_, i) =>
      pack(i < STEPS ? hs.sequential(i / (STEPS - 1)) : hs.noneColour()),
    );
    const scale = (STEPS - 1) / (high - low || 1);
    const codes = Uint16Array.from(column.values, (value) =>
      Number.isNaN(value) ? STEPS : Math.max(0, Math.min(STEPS - 1, Math.round((value - low) * scale))),
    );
    return { column, codes, table, low, high };
  };

  // From the 1st to the 99th percentile of a part of the values: one far out must not take all colours.
  function middle(column) {
    const step = Math.max(1, Math.floor(column.n / 20000));
    const some = [];
    for (let row = 0; row < column.n; row += step) if (!Number.isNaN(column.values[row])) some.push(column.values[row]);
    if (!some.length) return [0, 1];
    some.sort((a, b) => a - b);
    return [some[Math.floor(0.01 * (some.length - 1))], some[Math.ceil(0.99 * (some.length - 1))]];
  }

  hs.drawLegend = (map, scheme) => {
    const { column } = scheme;
    if (!column) return void hs.replace(map.legend, hs.h("p", { class: "empty" }, "No column to colour by."));
    const focused = map.legend.contains(document.activeElement) ? document.activeElement.dataset.code : null;
    hs.replace(
      map.legend,
      hs.h("h3", {}, hs.name(column.title, 40)),
      column.isCategory ? categories(map.store, scheme) : scale(scheme),
    );
    const again = focused && map.legend.querySelector(`[data-code="${focused}"]`);
    if (again) again.focus();
  };

  function categories(store, { column, colours }) {
    const counts = hs.countCategories(store, column);
    const chosen = store.filters.has(column.name) ? new Set(store.filters.get(column.name).codes) : null;
    const codes = Array.from(counts.keys()).filter((code) => counts[code] || (chosen && chosen.has(code)));
    if (codes.length > 12) codes.sort((a, b) => counts[b] - counts[a] || a - b);
    const items = codes.slice(0, MOST).map((code) => {
      const isOn = !chosen || chosen.has(code);
      return hs.h(
        "li",
        {},
        hs.button(
          [
            hs.h("span", { class: "swatch", style: { backgroundColor: hs.css(colours[code]) }, "aria-hidden": "true" }),
            hs.name(column.nameAt(code), 32),
            hs.h("span", { class: "figures muted" }, hs.count(counts[code])),
          ],
          () => hs.toggleCategory(store, column, code),
          { "aria-pressed": String(Boolean(chosen) && isOn), class: isOn ? "entry" : "entry off", "data-code": code },
        ),
      );
    });
    return [
      hs.h("ul", { "aria-label": `Filter by ${hs.short(column.title, 40)}` }, items),
      codes.length > MOST
        ? hs.h("p", { class: "muted" }, `and ${hs.count(codes.length - MOST)} more: find them in the filters`)
        : null,
    ];
  }

  function scale({ column, low, high }) {
    const bar = hs.h("canvas", { class: "scale", width: 200, height: 1, "aria-hidden": "true" });
    const context = bar.getContext("2d");
    for (let x = 0; x < 200; x += 1) {
      context.fillStyle = hs.css(hs.sequential(x / 199));
      context.fillRect(x, 0, 1, 1);
    }
    const [least, most] = column.range();
    const words =
      low > least || high < most
        ? hs.h("p", { class: "muted" }, `1st to 99th percentile; all: ${hs.number(least)} to ${hs.number(most)}`)
        : null;
    return [
      bar,
      hs.h("div", { class: "scale-ends figures" }, hs.h("span", {}, hs.number(low)), hs.h("span", {}, hs.number(high))),
      words,
    ];
  }
})(headstart);
