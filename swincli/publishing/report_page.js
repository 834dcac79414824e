"use strict";
// Turns the row of grids into one large picture with a slider; without scripts all grids are shown side by side.
const time = document.getElementById("time");
const frames = time ? [...time.querySelectorAll("figure")] : [];
if (frames.length > 1) {
  const control = time.querySelector(".control");
  const slider = control.querySelector("input");
  const output = control.querySelector("output");
  const show = () => {
    frames.forEach((frame, place) => frame.classList.toggle("shown", place === Number(slider.value)));
    const caption = frames[Number(slider.value)].querySelector("figcaption").textContent;
    output.textContent = caption;
    slider.setAttribute("aria-valuetext", caption);
  };
  control.hidden = false;
  time.classList.add("sliding");
  slider.addEventListener("input", show);
  show();
}
