"use strict";
// The viewer: one case at a time, its image with truth and prediction laid over it, as slices or in 3-D.
// Volumes lie in the page as base64, in elements named volume-<case>-<content>.
const TISSUES = { R: [0, 230, 86, 213], G: [0, 159, 180, 94], B: [0, 0, 233, 0], A: [0, 255, 255, 255], labels: ["", "core", "oedema", "ET"] };

document.addEventListener("DOMContentLoaded", () => {
  const part = document.querySelector("#viewer");
  if (part) startViewer(part);
});

async function startViewer(part) {
  const status = part.querySelector("[role=status]");
  if (!document.createElement("canvas").getContext("webgl2")) {
    status.textContent = "This browser has no WebGL 2, which the viewer needs. Everything else on this page is complete.";
    return;
  }
  const viewer = new niivue.Niivue({
    dragAndDropEnabled: false, isRadiologicalConvention: true, isNearestInterpolation: false, loadingText: "",
    multiplanarForceRender: true, multiplanarLayout: 2, crosshairWidth: 0.7, crosshairWidthUnit: "mm",
    crosshairColor: [0.9, 0.9, 0.9, 0.6], logLevel: "error", viewModeHotKey: "",
  });
  await viewer.attachToCanvas(part.querySelector("canvas"));
  const choice = part.querySelector("select");
  const layers = new Map();

  const applyLayers = () => {
    const opacity = Number(part.querySelector("input[type=range]").value);
    for (const [content, volume] of layers) {
      volume.opacity = part.querySelector(`input[value=${content}]`).checked ? opacity : 0;
    }
    viewer.updateGLVolume();
  };
  const showView = (button) => {
    for (const other of part.querySelectorAll("button[data-view]")) other.setAttribute("aria-pressed", other === button);
    viewer.setSliceType(viewer[button.dataset.view]);
  };
  const showCase = async () => {
    choice.disabled = true;
    part.dataset.state = "loading";
    while (viewer.volumes.length) viewer.removeVolumeByIndex(viewer.volumes.length - 1);
    layers.clear();
    for (const content of ["image", "truth", "prediction"]) {
      const data = document.querySelector(`#volume-${choice.value}-${content}`);
      const box = part.querySelector(`input[value=${content}]`);
      if (box) box.disabled = !data;
      if (!data) continue;
      const bytes = Uint8Array.from(atob(data.textContent.trim()), (letter) => letter.charCodeAt(0));
      await viewer.loadFromArrayBuffer(bytes.buffer, `${content}.nii.gz`);
      if (content !== "image") {
        layers.set(content, viewer.volumes.at(-1));
        viewer.volumes.at(-1).setColormapLabel(TISSUES);
      }
    }
    viewer.scene.crosshairPos = choice.selectedOptions[0].dataset.centre.split(",").map(Number);
    applyLayers();
    choice.disabled = false;
    part.dataset.state = "ready";
    status.textContent = `${choice.selectedOptions[0].textContent} is shown.`;
  };

  choice.addEventListener("change", showCase);
  for (const button of part.querySelectorAll("button[data-view]")) button.addEventListener("click", () => showView(button));
  for (const input of part.querySelectorAll("input")) input.addEventListener("input", applyLayers);
  for (const link of document.querySelectorAll("a[data-view-case]")) {
    link.addEventListener("click", () => { choice.value = link.dataset.viewCase; showCase(); });
  }
  await showCase();
}
