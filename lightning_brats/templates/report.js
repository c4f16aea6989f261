// Draws the charts in the page's colours, again whenever those change.

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function themed(layout) {
  const axis = { gridcolor: colour("--line"), linecolor: colour("--line"), tickcolor: colour("--line") };
  return {
    ...layout,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: colour("--sans"), size: 13, color: colour("--soft") },
    hoverlabel: { ...layout.hoverlabel, bgcolor: colour("--card"), bordercolor: colour("--line"),
                  font: { color: colour("--ink") } },
    xaxis: { ...layout.xaxis, ...axis },
    yaxis: { ...layout.yaxis, ...axis },
  };
}

function draw() {
  for (const source of document.querySelectorAll("[data-chart]")) {
    const figure = JSON.parse(source.textContent);
    Plotly.react(source.dataset.chart, figure.data, themed(figure.layout),
                 { responsive: true, displayModeBar: false });
  }
}

document.documentElement.classList.add("js");
draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
