// Slider, blink and corrections of the comparison.
for (const section of document.querySelectorAll('section')) {
  const overlay = section.querySelector('.overlay');
  if (!overlay) continue;
  const reveal = overlay.querySelector('clipPath rect'), divider = overlay.querySelector('.divider');
  const slider = section.querySelector('.slider'), blink = section.querySelector('.blink'), marks = section.querySelector('.marks');
  const form = section.querySelector('.correct');
  let timer = 0, chosen = null;

  function show(position) {
    reveal.setAttribute('width', position);
    divider.setAttribute('x1', position);
    divider.setAttribute('x2', position);
  }
  slider.oninput = () => show(slider.value);

  blink.onclick = () => {
    const on = blink.getAttribute('aria-pressed') !== 'true';
    blink.setAttribute('aria-pressed', on);
    overlay.classList.toggle('blinking', on);
    clearInterval(timer);
    let later = false;
    if (on) timer = setInterval(() => { later = !later; show(later ? slider.max : 0); }, 700);
    else show(slider.value);
  };

  marks.onclick = () => {
    const on = marks.getAttribute('aria-pressed') !== 'true';
    marks.setAttribute('aria-pressed', on);
    overlay.classList.toggle('no-marks', !on);
  };

  for (const mark of overlay.querySelectorAll('.mark')) {
    mark.setAttribute('tabindex', '0');
    mark.setAttribute('role', 'button');
    const choose = () => {
      chosen = mark;
      form.hidden = false;
      form.querySelector('.chosen').textContent = mark.querySelector('title').textContent;
      form.querySelector('.answer').textContent = '';
      form.querySelector('select').focus();
    };
    mark.onclick = choose;
    mark.onkeydown = (event) => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); choose(); } };
  }

  form.onsubmit = async (event) => {
    event.preventDefault();
    const response = await fetch('/api/correct', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ observation: chosen.dataset.observation, state: form.elements.state.value }),
    });
    const result = await response.json();
    if (result.error) form.querySelector('.answer').textContent = result.error;
    else location.reload();
  };
}
