// A line drawn around points, or a rectangle set by keys: what lies within becomes a filter of all views.
(function (hs) {
  const APART = 3; // pixels between corners of the line

  hs.Lasso = class Lasso {
    constructor(map) {
      this.map = map;
      this.path = null; // in pixels of the canvas box, while it is drawn
    }

    start(x, y) {
      this.path = [[x, y]];
    }

    extend(x, y) {
      const [lastX, lastY] = this.path[this.path.length - 1];
      if (Math.hypot(x - lastX, y - lastY) >= APART) this.path.push([x, y]);
    }

    // True if it went around anything.
    end(isAdding) {
      const path = this.path;
      this.path = null;
      if (!path || path.length < 3) return false;
      this.select(path, isAdding);
      return true;
    }

    rectangle([x1, y1], [x2, y2], isAdding) {
      if (x1 === x2 || y1 === y2) return;
      this.select(
        [
          [x1, y1],
          [x2, y1],
          [x2, y2],
          [x1, y2],
        ],
        isAdding,
      );
    }

    select(path, isAdding) {
      const { store, points, view } = this.map;
      const inside = points.within(
        path.map(([x, y]) => view.toMap(x, y)),
        store.model.n,
      );
      const before = store.filters.get("lasso");
      if (isAdding && before) for (let row = 0; row < inside.length; row += 1) inside[row] |= before.mask[row];
      let n = 0;
      for (let row = 0; row < inside.length; row += 1) n += inside[row];
      if (!n) return void hs.announce("No sample there");
      store.change({ lasso: { title: "drawn on the map", detail: hs.plural(n, "sample"), mask: inside } });
    }
  };
})(headstart);
