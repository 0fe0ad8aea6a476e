// Small drawings in SVG: an interval, curves over [0, 1], bars. Each has words for who cannot see it.
(function (hs) {
  // A dot at a value with its interval, on a scale from low to high.
  hs.whisker = ({ value, interval, low = 0, high = 1, mark = null, words }) => {
    const at = (x) => 4 + (112 * (Math.max(low, Math.min(high, x)) - low)) / (high - low || 1);
    return hs.svg(
      "svg",
      { class: "whisker", viewBox: "0 0 120 14", width: 120, height: 14, role: "img", "aria-label": words },
      hs.svg("line", { class: "track", x1: 4, x2: 116, y1: 7, y2: 7 }),
      mark === null ? null : hs.svg("line", { class: "mark", x1: at(mark), x2: at(mark), y1: 1, y2: 13 }),
      interval ? hs.svg("line", { class: "range", x1: at(interval[0]), x2: at(interval[1]), y1: 7, y2: 7 }) : null,
      value === null || Number.isNaN(value) ? null : hs.svg("circle", { class: "dot", cx: at(value), cy: 7, r: 3.5 }),
    );
  };

  const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [460, 280, 56, 22, 12, 42];

  // A square plot of shares: both axes run from 0 to 1.
  hs.UnitPlot = class UnitPlot {
    constructor({ words, xTitle, yTitle, x = [0, 1] }) {
      this.domain = x;
      this.marks = hs.svg("g");
      this.element = hs.svg(
        "svg",
        { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words },
        this.grid(xTitle, yTitle),
        this.marks,
      );
    }

    x(value) {
      const [low, high] = this.domain;
      return LEFT + ((WIDTH - LEFT - RIGHT) * (value - low)) / (high - low || 1);
    }

    y(value) {
      return TOP + (HEIGHT - TOP - BOTTOM) * (1 - Math.max(0, Math.min(1, value)));
    }

    grid(xTitle, yTitle) {
      const lines = [0, 0.25, 0.5, 0.75, 1].flatMap((tick) => {
        const [low, high] = this.domain;
        const value = low + tick * (high - low);
        return [
          hs.svg("line", { class: "gridline", x1: LEFT, x2: WIDTH - RIGHT, y1: this.y(tick), y2: this.y(tick) }),
          hs.svg("text", { class: "tick", x: LEFT - 6, y: this.y(tick) + 4, "text-anchor": "end" }, tick.toFixed(2)),
          hs.svg(
            "text",
            { class: "tick", x: this.x(value), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" },
            value.toFixed(2),
          ),
        ];
      });
      return hs.svg(
        "g",
        {},
        lines,
        hs.svg(
          "text",
          { class: "axis", x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" },
          xTitle,
        ),
        hs.svg(
          "text",
          {
            class: "axis",
            transform: `translate(14 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)`,
            "text-anchor": "middle",
          },
          yTitle,
        ),
      );
    }

    clear() {
      this.marks.replaceChildren();
    }

    // points: [[x, y]]; a gap where y is not a number.
    curve(points, name) {
      let path = "";
      let isDown = false;
      for (const [x, y] of points) {
        if (Number.isNaN(y)) isDown = false;
        else {
          path += `${isDown ? "L" : "M"}${this.x(x).toFixed(1)} ${this.y(y).toFixed(1)}`;
          isDown = true;
        }
      }
      this.marks.append(hs.svg("path", { class: `curve ${name}`, d: path }));
    }

    // `inset` is what is left free on either side, in units of the drawing.
    bar(from, to, height, name, inset = 1) {
      const left = this.x(from) + inset;
      this.marks.append(
        hs.svg("rect", {
          class: name,
          x: left,
          width: Math.max(1, this.x(to) - inset - left),
          y: this.y(height),
          height: this.y(0) - this.y(height),
        }),
      );
    }

    line(from, to, name) {
      this.marks.append(
        hs.svg("line", { class: name, x1: this.x(from[0]), y1: this.y(from[1]), x2: this.x(to[0]), y2: this.y(to[1]) }),
      );
    }

    dot(x, y, name) {
      this.marks.append(hs.svg("circle", { class: name, cx: this.x(x), cy: this.y(y), r: 4 }));
    }
  };

  // Wilson's interval of a share, 95 %.
  hs.wilson = (hits, n) => {
    if (!n) return null;
    const z = 1.959964;
    const share = hits / n;
    const middle = share + (z * z) / (2 * n);
    const half = z * Math.sqrt((share * (1 - share)) / n + (z * z) / (4 * n * n));
    return [(middle - half) / (1 + (z * z) / n), (middle + half) / (1 + (z * z) / n)];
  };

  // Counts in bins as bars without axes.
  hs.histogram = (counts, words) => {
    const most = Math.max(1, ...counts);
    const width = 240 / counts.length;
    return hs.svg(
      "svg",
      { class: "histogram", viewBox: "0 0 240 40", preserveAspectRatio: "none", role: "img", "aria-label": words },
      counts.map((count, i) =>
        hs.svg("rect", {
          x: i * width,
          width: Math.max(0.5, width - 1),
          y: 40 - (38 * count) / most,
          height: (38 * count) / most,
        }),
      ),
    );
  };
})(headstart);
