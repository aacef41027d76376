// Counts and hints of the live view, the ghost, and the shutter.
const byId = (id) => document.getElementById(id);
const hints = byId('hints'), counts = byId('counts'), severity = byId('severity'), answer = byId('answer');
const form = byId('capture'), ghost = byId('ghost'), video = byId('video');

function showCounts(values) {
  const total = Object.values(values).reduce((sum, count) => sum + count, 0);
  const rows = [['all', total], ...Object.entries(values)];
  counts.replaceChildren(...rows.map(([name, count]) => {
    const row = document.createElement('div'), term = document.createElement('dt'), value = document.createElement('dd');
    term.textContent = name;
    value.textContent = count;
    row.append(term, value);
    return row;
  }));
}

function showHints(text, good) {
  if (hints.textContent !== text) hints.textContent = text;  // or a screen reader would say it again and again
  hints.className = `hints ${good ? 'good' : 'bad'}`;
}

const events = new EventSource('/events');
events.onmessage = (event) => {
  const info = JSON.parse(event.data);
  if (info.error) return showHints(info.error, false);
  const wrong = info.quality.hints;
  showHints(wrong.length ? wrong.join('. ') : 'Good picture', !wrong.length);
  showCounts(info.counts);
  severity.textContent = info.severity ? `Severity of half a face: ${info.severity.grade}` : '';
};
events.onerror = () => showHints('The connection is lost; trying again', false);
video.onerror = () => setTimeout(() => { video.src = `/video?${Date.now()}`; }, 2000);

function showGhost() {
  const { subject, view } = form.elements;
  ghost.hidden = true;
  if (view.value.trim()) ghost.src = `/ghost/${encodeURIComponent(subject.value)}/${encodeURIComponent(view.value.trim())}`;
}

if (form) {
  ghost.onload = () => { ghost.hidden = false; };
  ghost.onerror = () => { ghost.hidden = true; };
  const dim = () => { ghost.style.opacity = form.elements.ghost.value / 100; };
  form.elements.ghost.oninput = dim;
  form.elements.view.onchange = showGhost;
  form.elements.subject.onchange = () => { location.search = `subject=${encodeURIComponent(form.elements.subject.value)}`; };
  dim();
  showGhost();
  form.onsubmit = async (event) => {
    event.preventDefault();
    const button = form.querySelector('button');
    button.disabled = true;
    answer.textContent = 'Hold still';
    try {
      const { subject, view, override } = form.elements;
      const response = await fetch('/api/capture', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ subject: subject.value, view: view.value, override: override.checked }),
      });
      const result = await response.json();
      if (result.error) {
        answer.textContent = result.error;
      } else {
        const compared = result.first ? 'the first of this view' : result.refused ? `not compared: ${result.refused}` : 'compared with the visits before';
        answer.textContent = `${result.visit}: ${result.counts.total} lesions, ${compared}`;
        showGhost();
      }
    } catch (error) {
      answer.textContent = 'No answer; is acne-monitor still running?';
    } finally {
      button.disabled = false;
    }
  };
}
