/* The page's script: sound as it is made (Web Audio, no encoder needed), the take cards, the keyboard.
   Everything hangs on `window.myna`; what it needs to know comes in `window.mynaKnows`. */
(() => {
  'use strict';
  const chinese = (navigator.language || 'en').toLowerCase().startsWith('zh');
  const said = window.mynaKnows.words[chinese ? 'zh' : 'en'];
  const address = (path) => new URL(path, document.baseURI).toString();

  /* ---------------------------------------------------------------- sound as it is made */
  const LEAD = 0.12; // seconds between arrival and playing: a late chunk then leaves no hole
  let context = null;
  let wanted = window.mynaKnows.rate; // of the latest sound: engines, and their versions, differ
  const live = {token: null, rate: wanted, start: 0, end: 0, sources: new Set(), abort: null};
  const heard = {seconds: 0, whileMaking: 0}; // for whoever wants to know, tests too

  const wake = () => {
    // Browsers let sound out only from a click or a key; the sample rate of the sound spares resampling.
    if (!context) context = new AudioContext({sampleRate: wanted});
    if (context.state === 'suspended') context.resume();
  };

  /* Before a sound that is likely to have another rate than the last context was made for. */
  const retune = () => {
    if (!context || context.sampleRate === wanted) return;
    quieten();
    context.close();
    context = null;
  };

  const hush = () => {
    if (live.abort) live.abort.abort();
    live.sources.forEach((source) => source.stop());
    live.sources.clear();
    live.token = null;
  };

  const schedule = (samples) => {
    const buffer = context.createBuffer(1, samples.length, live.rate);
    buffer.copyToChannel(samples, 0);
    const source = context.createBufferSource();
    source.buffer = buffer;
    source.connect(context.destination);
    const now = context.currentTime;
    if (live.end < now + 0.02) {
      live.start += Math.max(0, now + LEAD - live.end); // a hole: the position waits as well
      live.end = now + LEAD;
    }
    source.start(live.end);
    live.end += buffer.duration;
    live.sources.add(source);
    source.onended = () => {
      live.sources.delete(source);
      if (!live.sources.size && live.drained) live.token = null;
      refresh();
    };
    heard.seconds += buffer.duration;
    if (!live.drained) heard.whileMaking += buffer.duration;
  };

  const play = async (path) => {
    const token = path.split('/').pop();
    if (!context || live.token === token) return;
    quieten();
    Object.assign(live, {token, drained: false, abort: new AbortController()});
    live.start = live.end = context.currentTime + LEAD;
    let rest = new Uint8Array(0);
    try {
      const answer = await fetch(address(path), {signal: live.abort.signal, credentials: 'same-origin'});
      if (!answer.ok || live.token !== token) return;
      live.rate = wanted = Number(answer.headers.get('X-Sample-Rate')) || wanted;
      const reader = answer.body.getReader();
      for (;;) {
        const {done, value} = await reader.read();
        if (done || live.token !== token) break;
        const bytes = new Uint8Array(rest.length + value.length);
        bytes.set(rest);
        bytes.set(value, rest.length);
        const whole = bytes.length - (bytes.length % 2);
        rest = bytes.slice(whole);
        const view = new DataView(bytes.buffer, 0, whole);
        const samples = new Float32Array(whole / 2);
        for (let i = 0; i < samples.length; i++) samples[i] = view.getInt16(2 * i, true) / 32768;
        if (samples.length) schedule(samples);
      }
    } catch (error) {
      if (error.name !== 'AbortError') console.warn('Myna: the live sound broke off', error);
    }
    if (live.token === token) live.drained = true;
  };

  /* Called when the progress changes: a new job's sound has an address. */
  let latest = null;
  const listen = (element) => {
    const sound = element.querySelector('[data-sound]');
    if (sound && sound.dataset.sound !== latest) {
      latest = sound.dataset.sound;
      play(latest);
    }
  };

  /* ---------------------------------------------------------------- the cards */
  const livePosition = () => Math.max(0, Math.min(live.end, context.currentTime) - live.start);
  const isLive = (card) => live.token !== null && card.dataset.token === live.token;

  const show = (card) => {
    const audio = card.querySelector('audio');
    const length = audio.duration || Number(card.querySelector('.player').dataset.seconds);
    const playing = isLive(card) || !audio.paused;
    const at = isLive(card) ? livePosition() : audio.currentTime;
    const button = card.querySelector('.play');
    card.classList.toggle('playing', playing);
    button.setAttribute('aria-label', playing ? button.dataset.pause : button.dataset.play);
    card.querySelector('.clock b').textContent = at.toFixed(1);
    const share = length ? Math.min(1, at / length) : 0;
    const range = card.querySelector('input[type=range]');
    if (document.activeElement !== range || playing) range.value = Math.round(1000 * share);
    range.setAttribute('aria-valuetext', `${at.toFixed(1)} s`);
    card.querySelector('.wave.done').style.clipPath = `inset(0 ${100 - 100 * share}% 0 0)`;
  };

  const refresh = () => document.querySelectorAll('.take').forEach(show);
  const tick = () => {
    document.querySelectorAll('.take.playing').forEach(show);
    requestAnimationFrame(tick);
  };

  const handOver = (card) => {
    // From the live sound to the file, at the same place.
    const at = livePosition();
    hush();
    card.querySelector('audio').currentTime = at;
  };

  const toggle = (card) => {
    const audio = card.querySelector('audio');
    if (isLive(card)) {
      handOver(card);
      show(card);
    } else if (audio.paused) {
      quieten();
      audio.play();
    } else {
      audio.pause();
    }
  };

  const seek = (card, share) => {
    const audio = card.querySelector('audio');
    const live = isLive(card);
    if (live) handOver(card);
    audio.currentTime = share * (audio.duration || Number(card.querySelector('.player').dataset.seconds));
    if (live) audio.play();
    show(card);
  };

  const equip = (card, token, trigger) => {
    const audio = card.querySelector('audio');
    ['play', 'pause', 'ended', 'timeupdate', 'loadedmetadata'].forEach((name) =>
      audio.addEventListener(name, () => show(card)));
    card.querySelector('.play').addEventListener('click', () => toggle(card));
    card.querySelector('input[type=range]').addEventListener('input', (event) =>
      seek(card, event.target.value / 1000));
    card.querySelectorAll('[data-act]').forEach((button) =>
      button.addEventListener('click', () => trigger('click', {act: button.dataset.act, token})));
    show(card);
  };

  /* Make the shelf show `takes` ({token, html}, newest first), leaving alone what has not changed. */
  const shelve = (shelf, takes, trigger) => {
    const known = new Map([...shelf.children].map((card) => [card.dataset.token, card]));
    takes.forEach(({token, html}, place) => {
      let card = known.get(token);
      known.delete(token);
      if (!card || card.source !== html) {
        const fresh = document.createElement('article');
        fresh.className = 'take';
        fresh.dataset.token = token;
        fresh.source = html;
        fresh.innerHTML = html;
        if (card) {
          const open = card.querySelector('details')?.open;
          card.replaceWith(fresh);
          if (open) fresh.querySelector('details').open = true;
        }
        card = fresh;
        equip(card, token, trigger);
      }
      if (shelf.children[place] !== card) shelf.insertBefore(card, shelf.children[place] || null);
    });
    known.forEach((card, token) => {
      if (live.token === token) hush();
      card.remove();
    });
    document.body.classList.toggle('has-takes', takes.length > 0);
    refresh();
  };

  /* ---------------------------------------------------------------- keyboard and clicks */
  const visible = (element) => element && element.offsetParent !== null && !element.disabled;

  const seen = (...names) => names.map((name) => document.getElementById(name)).find(visible);

  document.addEventListener('click', (event) => {
    if (event.target.closest('#speak')) {
      retune();
      wake();
    }
    if (event.target.closest('#stop')) hush();
  }, true);

  document.addEventListener('keydown', (event) => {
    if (document.querySelector('dialog[open]')) return; // it has its own keys
    const go = seen('speak', 'compare-go');
    const stop = seen('stop', 'compare-stop');
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && go) {
      event.preventDefault();
      event.stopPropagation();
      // Gradio takes the text over on input; a frame later it has the last letter too.
      requestAnimationFrame(() => go.click());
    } else if (event.key === 'Escape') {
      if (stop) stop.click();
      else hush();
    }
  }, true);

  /* ---------------------------------------------------------------- small things Gradio leaves to us */
  const count = () => {
    const box = document.querySelector('#text textarea');
    const line = document.getElementById('count');
    if (!box || !line) return;
    const text = said['text.count'].replace('{count}', [...box.value.trim()].length.toLocaleString());
    if (line.textContent !== text) line.textContent = text;
  };

  const tell = (words) => {
    const place = document.getElementById('mic-trouble');
    if (place) place.textContent = words;
  };

  const guardMicrophone = () => {
    const devices = navigator.mediaDevices;
    if (!devices) return; // told when somebody tries to record
    const ask = devices.getUserMedia.bind(devices);
    devices.getUserMedia = async (wanted) => {
      try {
        const stream = await ask(wanted);
        tell('');
        return stream;
      } catch (error) {
        const none = error.name === 'NotFoundError' || error.name === 'OverconstrainedError';
        tell(none ? said['mic.none'] : said['mic.refused']);
        throw error;
      }
    };
  };

  const insecure = () => {
    if (!navigator.mediaDevices) {
      document.addEventListener('click', (event) => {
        if (event.target.closest('#clip .source-selection button[aria-label*="icrophone" i], #clip .record-button')) {
          tell(said['mic.insecure']);
        }
      }, true);
    }
  };

  /* Gradio's own parts without a name, or with one in the wrong place. */
  const name = () => {
    document.querySelectorAll('#clip input[type=file]:not([aria-label])').forEach((input) =>
      input.setAttribute('aria-label', said['clip.drop'].split('\n')[0]));
  };

  /* Gradio tells of a handler that broke in its queue, but not of one that answers at once. */
  const sorry = (words) => {
    const place = document.createElement('div');
    place.className = 'sorry notice bad';
    place.setAttribute('role', 'alert');
    place.append(Object.assign(document.createElement('p'), {textContent: words}));
    document.body.append(place);
    setTimeout(() => place.remove(), 12000);
  };
  const ask = window.fetch.bind(window);
  window.fetch = async (...given) => {
    const answer = await ask(...given);
    if (answer.status === 500 && answer.url.includes('/run/predict')) {
      answer.clone().json().then(({error}) => { if (error) sorry(error); });
    }
    return answer;
  };

  const settle = () => {
    if (chinese) document.documentElement.lang = 'zh-CN';
    document.title = said.title;
    guardMicrophone();
    insecure();
    count();
    name();
    new MutationObserver(() => { count(); name(); }).observe(document.body, {childList: true, subtree: true});
    document.addEventListener('input', count, true);
    tick();
  };

  /* Let one thing be heard at a time: `keep` is what starts now. */
  const quieten = (keep) => {
    hush();
    document.querySelectorAll('.take audio').forEach((audio) => audio.pause());
    const {pair, trial} = window.myna.listening;
    [pair, trial].forEach((ensemble) => { if (ensemble && ensemble !== keep) ensemble.pause(); });
  };

  window.myna = {listen, shelve, hush, heard, live, context: () => context, wake, address, quieten, said};
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', settle);
  else settle();
})();
