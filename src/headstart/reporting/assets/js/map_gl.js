// Points by WebGL2: one call draws them all. Nothing is compiled but our two shaders.
(function (hs) {
  const VERTEX = `#version 300 es
    layout(location = 0) in vec2 place;
    layout(location = 1) in vec4 colour;
    uniform vec2 scale;
    uniform vec2 shift;
    uniform float size;
    uniform float faintSize;
    out vec4 shade;
    void main() {
      shade = vec4(colour.rgb * colour.a, colour.a);
      gl_PointSize = colour.a < 0.5 ? faintSize : size;
      gl_Position = colour.a == 0.0 ? vec4(2.0, 2.0, 2.0, 1.0) : vec4(place * scale + shift, 0.0, 1.0);
    }`;
  // Round where there is room to be: a test per pixel is dear in software, and nobody sees it on two pixels.
  const FRAGMENT = (isRound) => `#version 300 es
    precision mediump float;
    in vec4 shade;
    out vec4 pixel;
    void main() {
      ${isRound ? "float r = length(gl_PointCoord - 0.5); pixel = shade * (1.0 - smoothstep(0.5 - fwidth(r), 0.5, r));" : "pixel = shade;"}
    }`;
  const ROUND_FROM = 4; // pixels
  const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/iu;

  // Asked of a canvas of its own: one that has a WebGL context never has another. `failIfMajorPerformanceCaveat` would
  // say the same, but Chromium gives SwiftShader all the same where it was chosen by a switch.
  function isSoftware() {
    const gl = document.createElement("canvas").getContext("webgl2");
    if (!gl) return true;
    const names = gl.getExtension("WEBGL_debug_renderer_info");
    const name = String(gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
    gl.getExtension("WEBGL_lose_context")?.loseContext();
    return SOFTWARE.test(name);
  }

  hs.GlMap = class GlMap {
    // Null where the browser gives no WebGL2, or none that is fast though it has to be.
    static make(canvas, mustBeFast) {
      if (mustBeFast && isSoftware()) return null;
      const gl = canvas.getContext("webgl2", {
        alpha: false,
        antialias: false,
        depth: false,
        powerPreference: "high-performance",
      });
      return gl ? new GlMap(canvas, gl) : null;
    }

    constructor(canvas, gl) {
      Object.assign(this, { canvas, gl, positions: null, colours: null, onRestored: () => {} });
      this.name = "WebGL2";
      this.set();
      canvas.addEventListener("webglcontextlost", (event) => event.preventDefault()); // or it would never come back
      canvas.addEventListener("webglcontextrestored", () => {
        this.set();
        if (this.positions) this.setPoints(this.positions);
        if (this.colours) this.setColours(this.colours);
        this.onRestored();
      });
    }

    set() {
      const { gl } = this;
      this.programs = [false, true].map((isRound) => this.program(FRAGMENT(isRound)));
      [this.placeBuffer, this.colourBuffer] = [gl.createBuffer(), gl.createBuffer()];
      gl.bindBuffer(gl.ARRAY_BUFFER, this.placeBuffer);
      gl.enableVertexAttribArray(0);
      gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
      gl.bindBuffer(gl.ARRAY_BUFFER, this.colourBuffer);
      gl.enableVertexAttribArray(1);
      gl.vertexAttribPointer(1, 4, gl.UNSIGNED_BYTE, true, 0, 0);
      gl.enable(gl.BLEND);
      gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    }

    program(fragment) {
      const { gl } = this;
      const program = gl.createProgram();
      for (const [kind, source] of [
        [gl.VERTEX_SHADER, VERTEX],
        [gl.FRAGMENT_SHADER, fragment],
      ]) {
        const shader = gl.createShader(kind);
        gl.shaderSource(shader, source);
        gl.compileShader(shader);
        gl.attachShader(program, shader);
      }
      gl.linkProgram(program);
      if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost())
        throw new Error(gl.getProgramInfoLog(program) || "shaders");
      const places = ["scale", "shift", "size", "faintSize"].map((name) => [
        name,
        gl.getUniformLocation(program, name),
      ]);
      return { program, at: Object.fromEntries(places) };
    }

    setPoints(positions) {
      this.positions = positions;
      this.upload(this.placeBuffer, positions);
    }

    // Packed, red in the lowest byte.
    setColours(colours) {
      this.colours = colours;
      this.upload(this.colourBuffer, colours);
    }

    upload(buffer, values) {
      const { gl } = this;
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
    }

    draw({ scale, shift, size, faintSize, count, background }) {
      const { gl, canvas } = this;
      const { program, at } = this.programs[Number(size >= ROUND_FROM)];
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clearColor(background[0] / 255, background[1] / 255, background[2] / 255, 1);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.useProgram(program);
      gl.uniform2f(at.scale, ...scale);
      gl.uniform2f(at.shift, ...shift);
      gl.uniform1f(at.size, size);
      gl.uniform1f(at.faintSize, faintSize);
      gl.drawArrays(gl.POINTS, 0, count);
    }
  };
})(headstart);
