// What lies over the points: rings, lines to neighbours, the lasso, the crosshair, and the words at the pointer.
(function (hs) {
  hs.MapOverlay = class MapOverlay {
    constructor(map) {
      this.map = map;
      this.canvas = hs.h("canvas", { class: "overlay", "aria-hidden": "true" });
      this.context = this.canvas.getContext("2d");
      this.tip = hs.h("div", { class: "tip", hidden: true });
    }

    draw() {
      const { map, context } = this;
      const ratio = map.view.ratio;
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, map.view.width, map.view.height);
      const ink = hs.css(map.ink);
      const { pinned, hovered } = map.store.chosen;
      if (pinned !== null) this.drawNeighbours(pinned, ink);
      if (pinned !== null) this.ring(pinned, 8, ink, 2.5);
      if (hovered !== null) this.ring(hovered, 7, ink, 1.5);
      if (map.lasso.path) this.line(map.lasso.path, ink);
      if (map.cross) this.drawCross(map.cross, ink);
    }

    place(row) {
      const { points, view } = this.map;
      return view.toBox(points.x[row], points.y[row]);
    }

    ring(row, radius, ink, width) {
      const [x, y] = this.place(row);
      if (!Number.isFinite(x)) return;
      const { context } = this;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.strokeStyle = ink;
      context.lineWidth = width;
      context.stroke();
    }

    drawNeighbours(row, ink) {
      const { context } = this;
      const [x, y] = this.place(row);
      if (!Number.isFinite(x)) return;
      context.strokeStyle = ink;
      context.lineWidth = 1;
      context.globalAlpha = 0.6;
      for (const { row: near } of this.map.store.model.neighbours(row)) {
        const [toX, toY] = this.place(near);
        if (!Number.isFinite(toX)) continue;
        context.beginPath();
        context.moveTo(x, y);
        context.lineTo(toX, toY);
        context.stroke();
      }
      context.globalAlpha = 1;
    }

    line(path, ink) {
      const { context } = this;
      context.beginPath();
      path.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.closePath();
      context.globalAlpha = 0.12;
      context.fillStyle = ink;
      context.fill();
      context.globalAlpha = 1;
      context.setLineDash([5, 4]);
      context.strokeStyle = ink;
      context.lineWidth = 1.5;
      context.stroke();
      context.setLineDash([]);
    }

    drawCross({ x, y, corner }, ink) {
      const { context } = this;
      context.strokeStyle = ink;
      context.lineWidth = 1.5;
      context.beginPath();
      for (const [dx, dy] of [
        [1, 0],
        [-1, 0],
        [0, 1],
        [0, -1],
      ]) {
        context.moveTo(x + 4 * dx, y + 4 * dy);
        context.lineTo(x + 14 * dx, y + 14 * dy);
      }
      context.stroke();
      if (corner) this.line([corner, [x, corner[1]], [x, y], [corner[0], y]], ink);
    }

    // Words beside a sample; none where row is null.
    say(row) {
      const { model } = this.map.store;
      this.tip.hidden = row === null;
      if (row === null) return;
      const column = this.map.colourColumn;
      const isOther = column && !["label", "prediction"].includes(column.name);
      hs.replace(
        this.tip,
        hs.face(model, row, "small"),
        hs.h("strong", {}, hs.name(model.ids[row], 48)),
        model.columns.length ? hs.verdict(model, row, this.map.store.run) : null,
        isOther
          ? hs.h("span", { class: "muted" }, `${hs.short(column.title, 24)}: `, hs.name(column.say(row), 40))
          : null,
      );
      this.put(...this.place(row));
    }

    put(x, y) {
      const { width, height } = this.map.view;
      const [own, tall] = [this.tip.offsetWidth, this.tip.offsetHeight];
      const left = x + 16 + own > width ? Math.max(0, x - own - 16) : x + 16;
      const top = Math.max(0, Math.min(height - tall, y - tall / 2));
      this.tip.style.transform = `translate(${left}px, ${top}px)`;
    }
  };
})(headstart);
