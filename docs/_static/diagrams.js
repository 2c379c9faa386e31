// Draws the page's Mermaid diagrams when the reader comes near them, in the colours of tinytorch.css, and again
// when the page turns light or dark. A diagram that cannot be drawn leaves the words below it to speak.

const MERMAID = new URL("mermaid/mermaid.esm.min.mjs", import.meta.url);
const SANS = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--tt-${name}`).trim();

function theme() {
  const [paper, ink, line, soft] = ["paper", "ink", "line", "soft"].map(colour);
  const roles = ["foundation", "advanced", "optimization", "milestone", "critical", "north-star", "capstone"];
  const variables = {
    fontFamily: SANS,
    fontSize: "15px",
    background: paper,
    primaryColor: soft,
    primaryTextColor: ink,
    primaryBorderColor: line,
    lineColor: line,
    textColor: ink,
    titleColor: ink,
    nodeTextColor: ink,
    clusterBkg: "transparent",
    clusterBorder: line,
    edgeLabelBackground: paper,
    sectionBkgColor: "transparent",
    sectionBkgColor2: "transparent",
    altSectionBkgColor: "transparent",
    gridColor: soft,
    activeTaskBkgColor: colour("milestone-fill"),
    activeTaskBorderColor: colour("milestone-line"),
    critBkgColor: colour("north-star-fill"),
    critBorderColor: colour("north-star-line"),
    taskTextDarkColor: ink,
    taskTextOutsideColor: ink,
    taskTextColor: ink,
    git0: soft,
    gitBranchLabel0: ink,
    quadrant1Fill: soft,
    quadrant2Fill: soft,
    quadrant3Fill: paper,
    quadrant4Fill: paper,
    quadrant1TextFill: colour("muted"),
    quadrant2TextFill: colour("muted"),
    quadrantPointFill: colour("foundation-line"),
    quadrantPointTextFill: ink,
    quadrantXAxisTextFill: ink,
    quadrantYAxisTextFill: ink,
    quadrantTitleFill: ink,
    quadrantInternalBorderStrokeFill: line,
    quadrantExternalBorderStrokeFill: line,
    xyChart: {
      backgroundColor: "transparent",
      titleColor: ink,
      xAxisLabelColor: ink,
      xAxisTitleColor: ink,
      xAxisTickColor: line,
      xAxisLineColor: line,
      yAxisLabelColor: ink,
      yAxisTitleColor: ink,
      yAxisTickColor: line,
      yAxisLineColor: line,
      plotColorPalette: colour("foundation-line"),
    },
  };
  for (let i = 0; i < 12; i++) {
    const role = roles[i % roles.length];
    variables[`cScale${i}`] = colour(`${role}-fill`);
    variables[`cScaleLabel${i}`] = colour(`${role}-ink`);
    variables[`cScaleInv${i}`] = colour(`${role}-line`);
    variables[`cScalePeer${i}`] = colour(`${role}-line`);
  }
  return variables;
}

let library;
let queue = Promise.resolve();
let count = 0;

async function draw(figure) {
  library ??= import(MERMAID.href).then((module) => module.default);
  const mermaid = await library;
  mermaid.initialize({
    startOnLoad: false,
    securityLevel: "strict",
    theme: "base",
    themeVariables: theme(),
    flowchart: {
      htmlLabels: true,
      rankSpacing: 32,
      nodeSpacing: 24,
      padding: 8,
      curve: "basis",
      subGraphTitleMargin: { top: 4, bottom: 12 },
    },
    gantt: { useWidth: 720, barHeight: 26, barGap: 8, fontSize: 14, sectionFontSize: 14, leftPadding: 60 },
    quadrantChart: { chartWidth: 720, chartHeight: 480, pointLabelFontSize: 13 },
    xyChart: { width: 720, height: 300, showDataLabel: true, yAxis: { showLabel: false, showTick: false } },
  });
  const source = figure.querySelector(".tt-diagram-source");
  const { svg } = await mermaid.render(`tt-diagram-${count++}`, source.textContent);
  const drawing = document.createElement("div");
  drawing.className = "tt-diagram-drawing";
  drawing.setAttribute("aria-hidden", "true");
  drawing.innerHTML = svg;
  // On a phone the drawing scrolls rather than shrink until nobody can read it.
  const drawn = drawing.firstElementChild;
  drawn.style.minWidth = `min(${drawn.style.maxWidth || "40rem"}, 40rem)`;
  figure.querySelector(".tt-diagram-drawing")?.remove();
  figure.append(drawing);
  figure.dataset.state = "drawn";
  // What scrolls has to be reachable from the keyboard.
  if (figure.scrollWidth > figure.clientWidth) figure.tabIndex = 0;
}

// Mermaid measures its text in the page, one diagram at a time.
function enqueue(figure) {
  queue = queue.then(() => draw(figure)).catch((error) => {
    figure.dataset.state = "failed";
    console.error(`diagram ${figure.dataset.kind}: ${error.message}`);
  });
}

const figures = [...document.querySelectorAll(".tt-diagram")];
const near = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) {
        near.unobserve(target);
        enqueue(target);
      }
    }
  },
  { rootMargin: "600px" },
);
figures.forEach((figure) => near.observe(figure));

new MutationObserver(() => figures.filter((figure) => figure.dataset.state === "drawn").forEach(enqueue)).observe(
  document.documentElement,
  { attributeFilter: ["data-theme"] },
);
