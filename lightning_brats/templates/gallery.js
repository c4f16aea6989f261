// Lays the contours before a transform under those after it, for whoever points at a picture.

document.documentElement.classList.add("js");
const start = document.getElementById("start");
for (const tile of document.querySelectorAll("article .row [tabindex]")) {
  tile.append(start.content.cloneNode(true));
}
