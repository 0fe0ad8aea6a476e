// The points of the map: scaled, in an order of which any first part is a fair picture, and found by their place.
(function (hs) {
  const PER_CELL = 4; // points in a cell of the grid, on average
  const GOLDEN = 0.6180339887498949;

  hs.MapPoints = class MapPoints {
    constructor(points) {
      this.x = hs.decode(points.x);
      this.y = hs.decode(points.y);
      this.rows = placed(this.x, this.y); // samples that have a place
      this.n = this.rows.length;
      this.measure();
      this.index();
    }

    // The square that holds all points, as [-1, 1] on both axes: one scale, so that distances stay what they are.
    measure() {
      let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity];
      for (const row of this.rows) {
        const [x, y] = [this.x[row], this.y[row]];
        if (x < left) left = x;
        if (x > right) right = x;
        if (y < bottom) bottom = y;
        if (y > top) top = y;
      }
      const half = Math.max(right - left, top - bottom) / 2 || 1;
      const [middleX, middleY] = [(left + right) / 2 || 0, (bottom + top) / 2 || 0];
      const place = (values, middle) => {
        const scaled = new Float32Array(values.length);
        for (let row = 0; row < values.length; row += 1) scaled[row] = (values[row] - middle) / half;
        return scaled;
      };
      this.x = place(this.x, middleX);
      this.y = place(this.y, middleY);
      this.bounds = { x: (right - left) / 2 / half || 0, y: (top - bottom) / 2 / half || 0 };
    }

    // A counting sort into the cells of a grid.
    index() {
      this.side = Math.max(1, Math.min(1024, Math.round(Math.sqrt(this.n / PER_CELL))));
      const cells = new Uint32Array(this.n);
      this.starts = new Uint32Array(this.side * this.side + 1);
      for (let i = 0; i < this.n; i += 1) {
        cells[i] = this.cellOf(this.x[this.rows[i]]) + this.side * this.cellOf(this.y[this.rows[i]]);
        this.starts[cells[i] + 1] += 1;
      }
      for (let cell = 0; cell < this.starts.length - 1; cell += 1) this.starts[cell + 1] += this.starts[cell];
      const next = this.starts.slice();
      this.byCell = new Uint32Array(this.n);
      for (let i = 0; i < this.n; i += 1) this.byCell[next[cells[i]]++] = this.rows[i];
      this.order = spread(this.byCell);
    }

    cellOf(value) {
      return Math.max(0, Math.min(this.side - 1, Math.floor(((value + 1) / 2) * this.side)));
    }

    // Positions in drawing order, x and y in turn.
    positions() {
      const xy = new Float32Array(2 * this.n);
      for (let i = 0; i < this.n; i += 1) {
        xy[2 * i] = this.x[this.order[i]];
        xy[2 * i + 1] = this.y[this.order[i]];
      }
      return xy;
    }

    // The nearest sample within a radius that `mask` lets through; -1 where there is none.
    nearest(x, y, radius, mask) {
      let [best, bestDistance] = [-1, radius * radius];
      for (let line = this.cellOf(y - radius); line <= this.cellOf(y + radius); line += 1) {
        const from = this.starts[line * this.side + this.cellOf(x - radius)];
        const to = this.starts[line * this.side + this.cellOf(x + radius) + 1];
        for (let i = from; i < to; i += 1) {
          const row = this.byCell[i];
          const distance = (this.x[row] - x) ** 2 + (this.y[row] - y) ** 2;
          if (distance <= bestDistance && mask[row]) [best, bestDistance] = [row, distance];
        }
      }
      return best;
    }

    // Which samples lie within a polygon of [x, y]: even-odd, each point against the edges of its band only.
    within(polygon, n) {
      const inside = new Uint8Array(n);
      const ys = polygon.map(([, y]) => y);
      const [bottom, top] = [Math.min(...ys), Math.max(...ys)];
      const bands = edgesByBand(polygon, bottom, top);
      const scale = bands.length / (top - bottom || 1);
      for (const row of this.rows) {
        const [x, y] = [this.x[row], this.y[row]];
        if (y < bottom || y > top) continue;
        let isIn = false;
        for (const [x1, y1, x2, y2] of bands[Math.min(bands.length - 1, Math.floor((y - bottom) * scale))]) {
          if (y1 > y !== y2 > y && x < x1 + ((y - y1) * (x2 - x1)) / (y2 - y1)) isIn = !isIn;
        }
        if (isIn) inside[row] = 1;
      }
      return inside;
    }
  };

  function placed(x, y) {
    const rows = new Uint32Array(x.length);
    let n = 0;
    for (let row = 0; row < x.length; row += 1) if (Number.isFinite(x[row]) && Number.isFinite(y[row])) rows[n++] = row;
    return rows.slice(0, n);
  }

  // Steps of the golden section through points sorted by place: whatever part is drawn first, it is spread over the
  // map as all of them are.
  function spread(sorted) {
    const n = sorted.length;
    let step = Math.max(1, Math.round(n * GOLDEN));
    while (gcd(step, n) > 1) step += 1;
    const order = new Uint32Array(n);
    for (let i = 0, at = 0; i < n; i += 1, at = (at + step) % n) order[i] = sorted[at];
    return order;
  }

  function gcd(a, b) {
    while (b) [a, b] = [b, a % b];
    return a;
  }

  function edgesByBand(polygon, bottom, top) {
    const bands = Array.from({ length: 128 }, () => []);
    const bandOf = (y) => Math.max(0, Math.min(127, Math.floor(((y - bottom) * 128) / (top - bottom || 1))));
    polygon.forEach(([x1, y1], i) => {
      const [x2, y2] = polygon[(i + 1) % polygon.length];
      const [first, last] = [bandOf(Math.min(y1, y2)), bandOf(Math.max(y1, y2))];
      // One band more on each side: a rounding must not lose the edge that a point lies beside.
      for (let band = Math.max(0, first - 1); band <= Math.min(127, last + 1); band += 1)
        bands[band].push([x1, y1, x2, y2]);
    });
    return bands;
  }
})(headstart);
