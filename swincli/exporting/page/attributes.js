// Controls of a model's attributes. Each reads and writes the columns of `label` that hold its attribute.

function field(tag, settings) {
  return Object.assign(document.createElement(tag), settings);
}

function choice(attribute) {
  const select = field("select", {});
  for (const [number, name] of attribute.values.entries()) select.add(new Option(name, number));
  return {
    parts: [select],
    read: () => [Number(select.value)],
    write: ([number]) => (select.value = String(number ?? 0)),
    text: () => attribute.values[select.value],
  };
}

function flag() {
  const box = field("input", { type: "checkbox" });
  return {
    parts: [box],
    read: () => [Number(box.checked)],
    write: ([value]) => (box.checked = value === 1),
    text: () => (box.checked ? "yes" : "no"),
  };
}

function number({ low, high }) {
  const slider = field("input", { type: "range", min: 0, max: 1, step: 0.01 }), value = field("output", {});
  const text = () => String(Number((low + slider.value * (high - low)).toPrecision(3)));
  const show = () => (value.value = text());
  slider.addEventListener("input", show);
  return {
    parts: [slider, value],
    read: () => [Number(slider.value)],
    write: ([share]) => {
      slider.value = share ?? 0.5;
      show();
    },
    text,
  };
}

function several({ name, values }) {
  const boxes = values.map(() => field("input", { type: "checkbox" })), group = field("div", { className: "boxes" });
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", name);
  for (const [place, box] of boxes.entries()) {
    const label = field("label", {});
    label.append(box, values[place]);
    group.append(label);
  }
  return {
    parts: [group],
    read: () => boxes.map((box) => Number(box.checked)),
    write: (given) => boxes.forEach((box, place) => (box.checked = given[place] === 1)),
    text: () => values.filter((_, place) => boxes[place].checked).join(" and ") || "none",
  };
}

const KINDS = { class: choice, flag, number, several };

// Adds the controls to an element. `read` gives all columns, `write` sets them, `text` says them in words.
export function addAttributes(place, attributes) {
  const controls = attributes.map((attribute, index) => {
    const control = KINDS[attribute.kind](attribute), row = field("div", { className: "row" });
    const isGroup = attribute.kind === "several", label = field(isGroup ? "span" : "label", { textContent: attribute.name });
    control.parts[0].id = `attribute-${index}`;
    for (const part of [label, control.parts[1]]) if (part && !isGroup) part.htmlFor = control.parts[0].id;
    row.append(label, ...control.parts);
    place.append(row);
    return control;
  });
  return {
    read: () => controls.flatMap((control) => control.read()),
    write: (columns) => controls.forEach((control, index) => control.write(columns.slice(...attributes[index].columns))),
    text: () => controls.map((control, index) => `${attributes[index].name} ${control.text()}`).join(", "),
  };
}
