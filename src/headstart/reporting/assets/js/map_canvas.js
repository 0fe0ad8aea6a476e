// Points without WebGL2: set pixel by pixel into a picture, for browsers that have no graphics at all.
(function (hs) {
  const MOST = 200000; // points of a picture

  hs.CanvasMap = class CanvasMap {
    constructor(canvas) {
      Object.assign(this, { canvas, positions: new Float32Array(0), colours: new Uint32Array(0), onRestored: () => {} });
      this.name = "a plain canvas";
      this.context = canvas.getContext("2d", { alpha: false });
    }

    setPoints(positions) {
      this.positions = positions;
    }

    setColours(colours) {
      this.colours = colours;
    }

    draw({ scale, shift, size, faintSize, count, background }) {
      const { width, height } = this.canvas;
      const image = this.context.createImageData(width, height);
      const pixels = new Uint32Array(image.data.buffer);
      pixels.fill(pack(background));
      const n = Math.min(count, MOST); // the first of the order are spread over all
      for (let i = 0; i < n; i += 1) {
        const colour = this.colours[i];
        const alpha = colour >>> 24;
        if (!alpha) continue;
        const x = (0.5 + 0.5 * (this.positions[2 * i] * scale[0] + shift[0])) * width;
        const y = (0.5 - 0.5 * (this.positions[2 * i + 1] * scale[1] + shift[1])) * height;
        if (x >= 0 && x < width && y >= 0 && y < height) {
          square(pixels, width, height, x, y, Math.max(1, Math.round(alpha < 128 ? faintSize : size)), alpha < 255 ? mixed(colour, background) : colour);
        }
      }
      this.context.putImageData(image, 0, 0);
    }
  };

  function square(pixels, width, height, x, y, side, colour) {
    const [left, top] = [Math.max(0, Math.round(x - side / 2)), Math.max(0, Math.round(y - side / 2))];
    for (let line = top; line < Math.min(height, top + side); line += 1) {
      pixels.fill(colour, line * width + left, line * width + Math.min(width, left + side));
    }
  }

  const pack = ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;

  function mixed(colour, background) {
    const share = (colour >>> 24) / 255;
    return pack(background.map((part, i) => Math.round(((colour >>> (8 * i)) & 255) * share + part * (1 - share))));
  }
})(headstart);
