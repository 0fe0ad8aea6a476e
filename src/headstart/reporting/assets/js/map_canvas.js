// Points without a graphics card: set pixel by pixel into a picture. A million of them take a program of ours tens of
// milliseconds, and WebGL2 in software seconds.
(function (hs) {
  const ROUND_FROM = 4; // pixels
  const [HIDDEN, FAINT, FULL] = [0, 1, 2];

  hs.CanvasMap = class CanvasMap {
    constructor(canvas) {
      Object.assign(this, { canvas, positions: new Float32Array(0), colours: new Uint32Array(0), background: null });
      this.name = "a plain canvas";
      this.context = canvas.getContext("2d", { alpha: false });
    }

    setPoints(positions) {
      this.positions = positions;
    }

    // Packed, red in the lowest byte.
    setColours(colours) {
      this.colours = colours;
      this.background = null;
    }

    // Colours as they come to lie on the background, and how much each point is to be seen.
    flatten(background) {
      if (this.background === pack(background)) return;
      this.background = pack(background);
      this.flat = new Uint32Array(this.colours.length);
      this.kinds = new Uint8Array(this.colours.length);
      const known = new Map();
      for (let i = 0; i < this.colours.length; i += 1) {
        const colour = this.colours[i];
        const alpha = colour >>> 24;
        this.kinds[i] = alpha === 0 ? HIDDEN : alpha < 128 ? FAINT : FULL;
        if (alpha === 255) this.flat[i] = colour;
        else {
          if (!known.has(colour)) known.set(colour, mixed(colour, background));
          this.flat[i] = known.get(colour);
        }
      }
    }

    draw({ scale, shift, size, faintSize, count, background }) {
      this.flatten(background);
      const { width, height } = this.canvas;
      if (!this.image || this.image.width !== width || this.image.height !== height)
        this.image = this.context.createImageData(width, height);
      const pixels = new Uint32Array(this.image.data.buffer);
      pixels.fill(this.background);
      const spans = [null, spansOf(faintSize, width), spansOf(size, width)];
      const margin = Math.ceil(size / 2) + 1;
      const { positions, flat, kinds } = this;
      const [scaleX, scaleY] = [(scale[0] * width) / 2, (-scale[1] * height) / 2];
      const [shiftX, shiftY] = [((1 + shift[0]) * width) / 2, ((1 - shift[1]) * height) / 2];
      for (let i = 0; i < count; i += 1) {
        const kind = kinds[i];
        if (kind === HIDDEN) continue;
        const x = Math.floor(positions[2 * i] * scaleX + shiftX);
        const y = Math.floor(positions[2 * i + 1] * scaleY + shiftY);
        // A point at the very edge is left out: no test for each of its pixels.
        if (x < margin || y < margin || x >= width - margin || y >= height - margin) continue;
        const at = y * width + x;
        const colour = flat[i];
        const offsets = spans[kind];
        if (kind === FULL) for (let k = 0; k < offsets.length; k += 1) pixels[at + offsets[k]] = colour;
        else if (pixels[at] === this.background)
          for (let k = 0; k < offsets.length; k += 1) pixels[at + offsets[k]] = colour;
      }
      this.context.putImageData(this.image, 0, 0);
    }
  };

  // Where the pixels of a point lie from its middle: a square, or a disc where there is room for one.
  function spansOf(size, width) {
    const side = Math.max(1, Math.round(size));
    const from = -Math.floor(side / 2);
    const middle = from + (side - 1) / 2;
    const offsets = [];
    for (let y = from; y < from + side; y += 1) {
      for (let x = from; x < from + side; x += 1) {
        if (side < ROUND_FROM || (x - middle) ** 2 + (y - middle) ** 2 <= (side / 2) ** 2) offsets.push(y * width + x);
      }
    }
    return Int32Array.from(offsets);
  }

  const pack = ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;

  function mixed(colour, background) {
    const share = (colour >>> 24) / 255;
    return pack(background.map((part, i) => Math.round(((colour >>> (8 * i)) & 255) * share + part * (1 - share))));
  }
})(headstart);
