// Tables that sort and turn pages: at most fifty rows are in the document, however many there are.
(function (hs) {
  const PAGE = 50;

  // "1 to 50 of 1,372", with buttons to turn pages.
  hs.pager = (total, start, turn, size = PAGE) => {
    if (total <= size) return null;
    const last = Math.floor((total - 1) / size) * size;
    const to = (label, at, isOff) =>
      hs.button(label, () => turn(at), { disabled: isOff, class: "quiet", "data-action": `page ${label}` });
    return hs.h(
      "nav",
      { class: "pager", "aria-label": "Pages" },
      to("First", 0, start === 0),
      to("Previous", Math.max(0, start - size), start === 0),
      hs.h(
        "span",
        { class: "figures" },
        `${hs.count(start + 1)} to ${hs.count(Math.min(total, start + size))} of ${hs.count(total)}`,
      ),
      to("Next", start + size, start >= last),
      to("Last", last, start >= last),
    );
  };

  hs.PAGE = PAGE;

  // A column of numbers that rows hold under a name.
  hs.numberColumn = (title, name, say, about = null) => ({
    title,
    isNumber: true,
    about,
    value: (row) => row[name],
    cell: (row) => say(row[name]),
  });

  // columns: [{title, value(row), cell(row), isNumber, about}]; a click on a head sorts by its values.
  hs.Table = class Table {
    constructor({ columns, caption, sortBy = null, isDown = true, onRow = null, rowLabel = null }) {
      Object.assign(this, { columns, caption, sortBy, isDown, onRow, rowLabel });
      this.rows = [];
      this.start = 0;
      this.element = hs.h("div", { class: "table-box", tabindex: -1 });
    }

    show(rows) {
      this.rows = rows;
      this.start = 0;
      this.draw();
      return this.element;
    }

    sort(place) {
      const isSame = this.sortBy === place;
      this.isDown = isSame ? !this.isDown : Boolean(this.columns[place].isNumber);
      this.sortBy = place;
      this.start = 0;
      this.draw();
      this.element
        .querySelectorAll("thead button")
        [this.columns.slice(0, place).filter((column) => column.value).length].focus();
      hs.announce(`Sorted by ${this.columns[place].title}, ${this.isDown ? "descending" : "ascending"}`);
    }

    sorted() {
      if (this.sortBy === null) return this.rows;
      const { value } = this.columns[this.sortBy];
      const sign = this.isDown ? -1 : 1;
      const keyed = this.rows.map((row) => [value(row), row]);
      keyed.sort(([a], [b]) => isNone(a) - isNone(b) || sign * compare(a, b));
      return keyed.map(([, row]) => row);
    }

    draw() {
      hs.keepFocus(this.element, () => this.fill());
    }

    fill() {
      const page = this.sorted().slice(this.start, this.start + PAGE);
      const turn = (start) => {
        this.start = start;
        this.draw();
      };
      hs.replace(
        this.element,
        hs.h(
          "div",
          { class: "scroll", tabindex: 0, role: "region", "aria-label": this.caption },
          hs.h(
            "table",
            {},
            hs.h("caption", { class: "unseen" }, this.caption),
            this.head(),
            hs.h(
              "tbody",
              {},
              page.map((row, place) => this.line(row, place)),
            ),
          ),
        ),
        this.rows.length ? null : hs.h("p", { class: "empty" }, "Nothing here."),
        hs.pager(this.rows.length, this.start, turn),
      );
    }

    head() {
      const cells = this.columns.map((column, place) => {
        const isSorted = this.sortBy === place;
        const direction = this.isDown ? "descending" : "ascending";
        const label = [
          hs.h("span", {}, column.title),
          hs.h("span", { class: "arrow", "aria-hidden": "true" }, isSorted ? (this.isDown ? "▾" : "▴") : ""),
        ];
        return hs.h(
          "th",
          {
            scope: "col",
            class: column.isNumber ? "number" : null,
            "aria-sort": isSorted ? direction : null,
            title: column.about,
          },
          column.value
            ? hs.h("button", { type: "button", class: "sort", on: { click: () => this.sort(place) } }, label)
            : label,
        );
      });
      return hs.h("thead", {}, hs.h("tr", {}, cells));
    }

    line(row, at) {
      const cells = this.columns.map((column, place) => {
        let content = column.cell(row);
        if (place === 0 && this.onRow && this.onRow(row))
          content = hs.button(content, () => this.onRow(row)(), {
            class: "link",
            title: this.rowLabel,
            "data-action": `row ${at}`,
          });
        return hs.h(
          place === 0 ? "th" : "td",
          { scope: place === 0 ? "row" : null, class: column.isNumber ? "number" : null },
          content,
        );
      });
      return hs.h("tr", {}, cells);
    }
  };

  const isNone = (value) => Number(value === null || value === undefined || Number.isNaN(value));
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
})(headstart);
