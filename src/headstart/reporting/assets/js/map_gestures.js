// Pointer, wheel and keys on the map.
(function (hs) {
  const [NEAR, STILL, STEP, CROSS_STEP] = [10, 4, 60, 12]; // pixels
  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  hs.MapGestures = class MapGestures {
    constructor(map) {
      this.map = map;
      this.pointers = new Map();
      const { stage } = map;
      stage.addEventListener("pointerdown", (event) => this.down(event));
      stage.addEventListener("pointermove", (event) => this.move(event));
      stage.addEventListener("pointerup", (event) => this.up(event));
      stage.addEventListener("pointercancel", (event) => this.up(event, true));
      stage.addEventListener("pointerleave", () => this.pointers.size || this.hover(null));
      stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
      stage.addEventListener("keydown", (event) => this.press(event));
    }

    place(event) {
      const box = this.map.stage.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    }

    down(event) {
      if (event.button) return;
      const [x, y] = this.place(event);
      this.map.stage.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, { x, y, startX: x, startY: y, isStill: true });
      if (this.map.isLasso && this.pointers.size === 1) this.map.lasso.start(x, y);
      else this.map.lasso.path = null; // a second finger pinches
    }

    move(event) {
      const [x, y] = this.place(event);
      const pointer = this.pointers.get(event.pointerId);
      if (!pointer) return void this.hover(this.find(x, y));
      const before = { x: pointer.x, y: pointer.y };
      Object.assign(pointer, {
        x,
        y,
        isStill: pointer.isStill && Math.hypot(x - pointer.startX, y - pointer.startY) < STILL,
      });
      if (this.pointers.size > 1) this.pinch(pointer, before);
      else if (this.map.lasso.path) {
        this.map.lasso.extend(x, y);
        this.map.overlay.draw();
      } else if (!pointer.isStill) this.map.pan(x - before.x, y - before.y);
    }

    up(event, isCancelled = false) {
      const pointer = this.pointers.get(event.pointerId);
      this.pointers.delete(event.pointerId);
      if (!pointer) return;
      const { lasso } = this.map;
      const isDrawn = Boolean(lasso.path) && !isCancelled && lasso.end(event.shiftKey);
      lasso.path = null;
      if (!isDrawn && pointer.isStill && !isCancelled) this.pin(this.find(pointer.x, pointer.y));
      this.map.overlay.draw();
    }

    pinch(moved, before) {
      const [other] = [...this.pointers.values()].filter((pointer) => pointer !== moved);
      const was = Math.hypot(before.x - other.x, before.y - other.y);
      const is = Math.hypot(moved.x - other.x, moved.y - other.y);
      this.map.pan((moved.x - before.x) / 2, (moved.y - before.y) / 2);
      if (was > 1) this.map.zoom(is / was, (moved.x + other.x) / 2, (moved.y + other.y) / 2);
      moved.isStill = other.isStill = false;
    }

    wheel(event) {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      this.map.zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) / 400), ...this.place(event));
    }

    find(x, y) {
      const { points, view, store } = this.map;
      const [mapX, mapY] = view.toMap(x, y);
      return points.nearest(mapX, mapY, NEAR / view.scale, store.mask);
    }

    hover(row) {
      const found = row === -1 ? null : row;
      const { store, overlay } = this.map;
      if (store.chosen.hovered === found) return;
      store.chosen.hovered = found; // of the map alone: the other views need not hear of it
      overlay.say(found);
      overlay.draw();
    }

    pin(row) {
      if (row === -1) return void hs.announce("No sample there");
      this.map.store.opener = this.map.stage;
      this.map.store.choose({ pinned: row });
    }

    press(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const { map } = this;
      const step = STEPS[event.key];
      const keys = {
        "+": () => map.zoom(1.5),
        "=": () => map.zoom(1.5),
        "-": () => map.zoom(1 / 1.5),
        0: () => map.reset(),
        c: () => this.toggleCross(),
        Escape: () => map.cross && this.toggleCross(),
        " ": () => map.cross && this.corner(event.shiftKey),
        Enter: () => map.cross && this.pin(this.find(map.cross.x, map.cross.y)),
      };
      if (step && map.cross) this.moveCross(step, event.shiftKey ? 4 : 1);
      else if (step) map.pan(-step[0] * STEP, -step[1] * STEP);
      else if (keys[event.key]) keys[event.key]();
      else return;
      event.preventDefault();
    }

    toggleCross() {
      const { map } = this;
      map.cross = map.cross ? null : { x: map.view.width / 2, y: map.view.height / 2, corner: null };
      this.hover(null);
      map.overlay.draw();
      hs.announce(
        map.cross
          ? "Crosshair on: arrows move it, space sets the corners of a rectangle, Enter opens a sample"
          : "Crosshair off",
      );
    }

    moveCross([dx, dy], times) {
      const { cross, view, overlay } = this.map;
      cross.x = Math.max(0, Math.min(view.width, cross.x + dx * times * CROSS_STEP));
      cross.y = Math.max(0, Math.min(view.height, cross.y + dy * times * CROSS_STEP));
      this.hover(this.find(cross.x, cross.y));
      overlay.draw();
    }

    corner(isAdding) {
      const { cross, lasso, overlay } = this.map;
      if (!cross.corner) {
        cross.corner = [cross.x, cross.y];
        hs.announce("First corner set");
      } else {
        lasso.rectangle(cross.corner, [cross.x, cross.y], isAdding);
        cross.corner = null;
      }
      overlay.draw();
    }
  };
})(headstart);
