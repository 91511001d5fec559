// The canvas of the interactive page: white lines on black, sent after every stroke.
const canvas = element.querySelector("canvas");
const pen = canvas.getContext("2d");
let last = null;

function at(event) {
  const place = canvas.getBoundingClientRect();
  return [
    ((event.clientX - place.left) * canvas.width) / place.width,
    ((event.clientY - place.top) * canvas.height) / place.height,
  ];
}

function line(from, to) {
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
}

function clear() {
  pen.fillStyle = "black";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.strokeStyle = "white";
  pen.lineWidth = 24;
  pen.lineCap = pen.lineJoin = "round";
}

function send() {
  props.value = canvas.toDataURL("image/png");
  trigger("input");
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  canvas.setPointerCapture(event.pointerId);
  last = at(event);
  line(last, last);
});
canvas.addEventListener("pointermove", (event) => {
  if (!last) return;
  const here = at(event);
  line(last, here);
  last = here;
});
for (const end of ["pointerup", "pointercancel"])
  canvas.addEventListener(end, () => {
    if (!last) return;
    last = null;
    send();
  });
element.querySelector("button").addEventListener("click", () => {
  clear();
  send();
});
clear();
