// The map of the features: points coloured by any column, drawn whole at rest and in part while they move.
(function (hs) {
  const FAINT = { light: 70, dark: 80 }; // of 255
  const [FIRST_PART, LEAST_PART] = [400000, 20000]; // points of a moving picture
  const [SLOW, FAST] = [60, 30]; // ms between pictures
  const REST = 160; // ms without a movement
  const FARTHEST = 4000; // times
  const FEW = 20000; // points that WebGL2 in software draws quickly too

  // Between the square of the map, [-1, 1], and pixels of the box.
  class View {
    constructor() {
      Object.assign(this, { width: 1, height: 1, ratio: 1, x: 0, y: 0, zoom: 1 });
    }

    get scale() {
      return this.zoom * this.base || 1;
    }

    fit({ x, y }) {
      this.base = 0.46 * Math.min(this.width / (x || y || 1), this.height / (y || x || 1));
    }

    toBox(x, y) {
      return [this.width / 2 + (x - this.x) * this.scale, this.height / 2 - (y - this.y) * this.scale];
    }

    toMap(x, y) {
      return [this.x + (x - this.width / 2) / this.scale, this.y - (y - this.height / 2) / this.scale];
    }
  }

  hs.MapView = class MapView {
    constructor(store) {
      this.store = store;
      this.points = new hs.MapPoints(store.model.points);
      Object.assign(this, {
        view: new View(),
        isLasso: false,
        isHiding: false,
        cross: null,
        size: 1,
        part: FIRST_PART,
        isMoving: false,
      });
      this.lasso = new hs.Lasso(this);
      this.overlay = new hs.MapOverlay(this);
      this.colourColumn =
        store.model.column(store.chosen.colour) || store.model.column("label") || store.model.columns[0] || null;
      this.build();
      new hs.MapGestures(this);
      new ResizeObserver(() => this.resize()).observe(this.stage);
    }

    build() {
      const help = hs.newId("help");
      this.canvas = hs.h("canvas", { "aria-hidden": "true" });
      this.stage = hs.h(
        "div",
        {
          class: "stage",
          tabindex: 0,
          role: "application",
          "aria-label": "Map of the samples",
          "aria-describedby": help,
        },
        this.canvas,
        this.overlay.canvas,
        this.overlay.tip,
      );
      this.tools = hs.h("div", { class: "toolbar" });
      this.legend = hs.h("div", { class: "legend" });
      const { method, note } = this.store.model.points;
      const missing = this.store.model.n - this.points.n;
      this.element = hs.h(
        "div",
        { class: "map-view" },
        hs.heading("Map", [
          `${method}. `,
          note ? `${hs.short(note, 400)} ` : "",
          missing ? `${hs.plural(missing, "sample")} without a place.` : "",
        ]),
        this.tools,
        hs.h("div", { class: "map-body" }, this.stage, this.legend),
        hs.h(
          "p",
          { class: "about", id: help },
          "Drag to move, wheel or pinch to zoom, click to open a sample. Keys: arrows move, + and − zoom, 0 shows all, C puts up a crosshair: then arrows move it, space sets the corners of a rectangle, Enter opens the sample there.",
        ),
      );
      this.drawTools();
    }

    drawTools() {
      const { store } = this;
      this.lassoButton = hs.button("Lasso", () => this.setLasso(!this.isLasso), {
        "aria-pressed": "false",
        title: "Draw around samples to filter all views by them; with shift, adds to what is drawn",
      });
      const colour = hs.select(
        store.model.columns.map(({ name, title }) => [name, title]),
        this.colourColumn && this.colourColumn.name,
        (name) => store.choose({ colour: name }),
      );
      this.colourSelect = colour;
      const size = hs.h("input", {
        type: "range",
        min: 0.5,
        max: 3,
        step: 0.1,
        value: 1,
        on: {
          input: () => {
            this.size = Number(size.value);
            this.draw();
          },
        },
      });
      hs.replace(
        this.tools,
        hs.field("Colour", colour),
        this.lassoButton,
        hs.button("Zoom in", () => this.zoom(1.5), { class: "quiet" }),
        hs.button("Zoom out", () => this.zoom(1 / 1.5), { class: "quiet" }),
        hs.button("Show all", () => this.reset(), { class: "quiet" }),
        hs.field("Size of points", size),
        hs.check("Hide what is filtered out", this.isHiding, (isHiding) => {
          this.isHiding = isHiding;
          this.recolour();
        }),
      );
    }

    setLasso(isLasso) {
      this.isLasso = isLasso;
      this.lassoButton.setAttribute("aria-pressed", String(isLasso));
      this.stage.classList.toggle("drawing", isLasso);
    }

    // The first picture comes when the stage has a size.
    start() {
      this.renderer = hs.GlMap.make(this.canvas, this.points.n > FEW) || new hs.CanvasMap(this.canvas);
      this.renderer.onRestored = () => this.draw();
      this.renderer.setPoints(this.points.positions());
      this.stage.dataset.renderer = this.renderer.name;
    }

    update(what, detail) {
      if (what === "choice" && !("colour" in detail)) return void this.overlay.draw();
      this.colourColumn = this.store.model.column(this.store.chosen.colour) || this.colourColumn;
      if (this.colourColumn) this.colourSelect.value = this.colourColumn.name;
      this.recolour();
    }

    recolour() {
      if (!this.view.base) return; // no size yet: resize() will ask again
      this.ink = hs.themed("--ink");
      this.background = hs.themed("--map");
      const scheme = hs.colourScheme(this.store, this.colourColumn);
      this.renderer.setColours(this.shades(scheme));
      hs.drawLegend(this, scheme);
      this.draw();
    }

    // A colour for each point in drawing order; what is filtered out is faint, or not there.
    shades(scheme) {
      const { order } = this.points;
      const { mask } = this.store;
      const shades = new Uint32Array(order.length);
      const faint = this.isHiding ? 0 : FAINT[hs.isDark() ? "dark" : "light"] << 24;
      const { codes, table } = scheme;
      for (let i = 0; i < order.length; i += 1) {
        const row = order[i];
        const colour = table[codes[row]];
        shades[i] = mask[row] ? colour : (colour & 0xffffff) | faint;
      }
      return shades;
    }

    resize() {
      const box = this.stage.getBoundingClientRect();
      if (!box.width || !box.height) return;
      const { view } = this;
      Object.assign(view, { width: box.width, height: box.height, ratio: Math.min(2, devicePixelRatio || 1) });
      for (const canvas of [this.canvas, this.overlay.canvas]) {
        canvas.width = Math.round(view.width * view.ratio);
        canvas.height = Math.round(view.height * view.ratio);
      }
      view.fit(this.points.bounds);
      if (!this.renderer) this.start();
      this.recolour();
    }

    reset() {
      Object.assign(this.view, { x: 0, y: 0, zoom: 1 });
      this.moved();
    }

    pan(dx, dy) {
      const { view } = this;
      view.x = Math.max(-1.2, Math.min(1.2, view.x - dx / view.scale));
      view.y = Math.max(-1.2, Math.min(1.2, view.y + dy / view.scale));
      this.moved();
    }

    // By a factor, around a place in the box that stays where it is.
    zoom(factor, x = this.view.width / 2, y = this.view.height / 2) {
      const { view } = this;
      const [mapX, mapY] = view.toMap(x, y);
      view.zoom = Math.max(0.5, Math.min(FARTHEST, view.zoom * factor));
      const [nowX, nowY] = view.toMap(x, y);
      view.x += mapX - nowX;
      view.y += mapY - nowY;
      this.moved();
    }

    moved() {
      clearTimeout(this.resting);
      this.resting = setTimeout(() => {
        this.isMoving = false;
        this.lastFrame = null;
        this.draw();
      }, REST);
      this.isMoving = true;
      this.overlay.say(null);
      this.store.chosen.hovered = null;
      this.draw();
    }

    // At the next frame, once.
    draw() {
      if (this.frame || !this.renderer) return;
      this.frame = requestAnimationFrame((now) => {
        this.frame = null;
        if (this.isMoving) this.adapt(now);
        this.paint();
      });
    }

    // As many points as pictures stay quick with.
    adapt(now) {
      const wait = this.lastFrame ? now - this.lastFrame : 0;
      this.lastFrame = now;
      if (wait > SLOW && wait < 2000) this.part = Math.max(LEAST_PART, this.part * 0.6);
      else if (wait && wait < FAST) this.part = Math.min(2 * this.points.n, this.part * 1.15);
    }

    paint() {
      const { view, points } = this;
      const size = this.size * pointSize(points.n) * Math.min(4, Math.max(1, view.zoom ** 0.35)) * view.ratio;
      const scale = [(2 * view.scale) / view.width, (2 * view.scale) / view.height];
      this.renderer.draw({
        scale,
        shift: [-view.x * scale[0], -view.y * scale[1]],
        size,
        faintSize: Math.max(1, 0.6 * size),
        count: this.isMoving ? Math.min(points.n, Math.round(this.part)) : points.n,
        background: this.background,
      });
      this.overlay.draw();
      markFirst();
    }
  };

  const pointSize = (n) => (n <= 2000 ? 7 : n <= 20000 ? 5 : n <= 60000 ? 3 : n <= 400000 ? 2 : 1.5);

  let isPainted = false;
  function markFirst() {
    if (!isPainted) performance.mark("headstart:first-map"); // for whoever measures
    isPainted = true;
  }

  hs.view({
    id: "map",
    title: "Map",
    order: 70,
    hears: ["pinned", "colour", "theme"],
    isFor: (model) => Boolean(model.points && model.n),
    build: (store) => new hs.MapView(store),
  });
})(headstart);
