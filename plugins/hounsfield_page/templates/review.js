// The answer goes to Airflow itself, as its own page for required actions would send it: so it is
// Airflow that says who answered, and whether that person may.
const SAID = {
  200: "Decided. The run goes on.",
  401: "Your session has ended: log in again.",
  403: "You may not answer the required actions of this Dag.",
  404: "The run does not wait for an answer yet, or no more.",
  409: "Somebody has answered before you.",
};

function regionsOf(form) {
  const chosen = [];
  for (const field of form.elements) {
    if (field.dataset.region && field.checked) chosen.push(field.dataset.region);
    if (field.dataset.box && field.value.trim()) chosen.push(`${field.dataset.box}: ${field.value.trim()}`);
  }
  return chosen.join("; ");
}

async function decide(event) {
  event.preventDefault();
  const form = event.target;
  const said = form.querySelector("output");
  const regions = regionsOf(form);
  const decision = form.elements.decision.value;
  if (decision === "Mask more" && !regions) {
    said.textContent = "Choose a region, or give one by hand.";
    return;
  }
  if (regions.length > Number(form.dataset.room)) {
    said.textContent = "An answer has no room for so many regions: draw one around several, or mask some of them now.";
    return;
  }
  if (decision === "Release" && regions) {
    said.textContent = "Regions are chosen, and a release masks none.";
    return;
  }
  if (decision === "Release" && "against" in form.elements.why.selectedOptions[0].dataset) {
    said.textContent = "This reason speaks against a release.";
    return;
  }
  said.textContent = "Sending …";
  const answer = await fetch(form.dataset.answer, {
    method: "PATCH",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      chosen_options: [decision],
      params_input: { why: form.elements.why.value, regions },
    }),
  }).catch(() => ({ ok: false }));
  said.textContent = SAID[answer.status] || "Airflow did not take the answer.";
  if (answer.ok) form.querySelector("button").disabled = true;
}

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("decide")?.addEventListener("submit", decide);
});
