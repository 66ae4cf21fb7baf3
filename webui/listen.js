/* Listening to several sounds in step, A against B and blind. Hangs on `window.myna` like player.js. */
(() => {
  'use strict';
  const {address, context, wake, quieten, said} = window.myna;
  const FADE = 0.004; // seconds from one sound to the next: too short to hear, long enough not to click
  const AHEAD = 0.03; // seconds from a key to the first sample, so that all sounds start at the same one
  const KEPT = 'myna-listening'; // where the browser remembers a blind test that is not finished

  /* ---------------------------------------------------------------- sounds in step */
  /* Several sounds of one length that run together; a gain lets one of them through. */
  class Ensemble {
    constructor(buffers) {
      this.buffers = buffers; // letter -> AudioBuffer
      this.duration = Math.max(...[...buffers.values()].map((buffer) => buffer.duration));
      this.heard = buffers.keys().next().value;
      this.offset = 0; // seconds into the sounds where they started, or will start
      this.started = null; // the context's time at which they started; null while they rest
      this.changed = () => {};
    }

    get playing() { return this.started !== null; }

    get position() {
      if (!this.playing) return this.offset;
      return (this.offset + Math.max(0, context().currentTime - this.started)) % this.duration;
    }

    play() {
      if (this.playing) return;
      quieten(this);
      wake();
      const now = context().currentTime;
      const when = now + AHEAD;
      this.output = context().createGain();
      this.output.connect(context().destination);
      this.gains = new Map();
      this.sources = [...this.buffers].map(([letter, buffer]) => {
        const source = context().createBufferSource();
        const gain = context().createGain();
        source.buffer = buffer;
        source.loop = true;
        gain.gain.value = letter === this.heard ? 1 : 0;
        source.connect(gain).connect(this.output);
        this.gains.set(letter, gain);
        source.start(when, this.offset);
        return source;
      });
      this.started = when;
      this.changed();
    }

    pause() {
      if (!this.playing) return;
      this.offset = this.position;
      this.started = null;
      const {sources, output} = this;
      const now = context().currentTime;
      output.gain.setValueAtTime(1, now);
      output.gain.linearRampToValueAtTime(0, now + FADE);
      sources.forEach((source) => source.stop(now + 2 * FADE));
      sources[0].onended = () => output.disconnect();
      this.changed();
    }

    seek(seconds) {
      const {playing} = this;
      this.pause();
      this.offset = Math.max(0, Math.min(seconds, this.duration - 0.01));
      if (playing) this.play();
      this.changed();
    }

    /* Let another one through, at the place where they all are. */
    hear(letter) {
      if (!this.buffers.has(letter)) return;
      this.heard = letter;
      if (this.playing) {
        const now = context().currentTime;
        this.gains.forEach(({gain}, name) => {
          gain.cancelScheduledValues(now);
          gain.setValueAtTime(gain.value, now);
          gain.linearRampToValueAtTime(name === letter ? 1 : 0, now + FADE);
        });
      }
      this.changed();
    }

    switch() { this.hear(this.heard === 'A' ? 'B' : 'A'); }
    toggle() { if (this.playing) this.pause(); else this.play(); }
  }

  /* All sounds, fetched at once, always in the order of the letters. int16, little-endian. */
  const fetched = async (sounds, rate) => {
    const answers = await Promise.all(Object.values(sounds).map(async (path) => {
      const answer = await fetch(address(path), {cache: 'no-store', credentials: 'same-origin'});
      if (!answer.ok) throw new Error(said['compare.error.sound']);
      return answer.arrayBuffer();
    }));
    wake();
    return new Ensemble(new Map(Object.keys(sounds).map((letter, place) => {
      const view = new DataView(answers[place]);
      const samples = new Float32Array(view.byteLength / 2);
      for (let i = 0; i < samples.length; i++) samples[i] = view.getInt16(2 * i, true) / 32768;
      const buffer = context().createBuffer(1, samples.length, rate);
      buffer.copyToChannel(samples, 0);
      return [letter, buffer];
    })));
  };

  const call = async (method, path, sent) => {
    const answer = await fetch(address(path), {
      method,
      cache: 'no-store',
      credentials: 'same-origin',
      headers: sent ? {'Content-Type': 'application/json'} : {},
      body: sent ? JSON.stringify(sent) : undefined,
    });
    const told = await answer.json().catch(() => ({error: said['compare.error.sound']}));
    if (told.error) throw new Error(told.error);
    return told;
  };

  /* Show on buttons which sound is heard and whether it plays. */
  const reflect = (place, ensemble) => {
    place.querySelectorAll('[data-sound]').forEach((button) =>
      button.setAttribute('aria-pressed', String(button.dataset.sound === ensemble.heard)));
    place.classList.toggle('playing', ensemble.playing);
    const play = place.querySelector('.play');
    play?.setAttribute('aria-label', ensemble.playing ? play.dataset.pause : play.dataset.play);
  };

  const plain = (event) => !event.ctrlKey && !event.metaKey && !event.altKey;
  const typing = (element) => element.closest('input:not([type=range]), select, textarea');

  /* ---------------------------------------------------------------- A against B */
  const chosen = (form) => {
    const {first, second, text, seed} = Object.fromEntries(new FormData(form));
    return {first: `${first}-${text}-${seed}`, second: `${second}-${text}-${seed}`};
  };

  const listening = {pair: null, trial: null}; // the two ensembles, for whoever wants to know, tests too

  const follow = (place, ensemble) => {
    const range = place.querySelector('input[type=range]');
    const views = place.querySelector('.views');
    const show = () => {
      if (!place.isConnected) return;
      const share = ensemble.position / ensemble.duration;
      views.style.setProperty('--at', share);
      if (ensemble.playing) {
        range.value = Math.round(1000 * share);
        requestAnimationFrame(show);
      }
    };
    ensemble.changed = () => { reflect(place, ensemble); show(); };
    range.addEventListener('input', () => ensemble.seek(range.value / 1000 * ensemble.duration));
    ensemble.changed();
  };

  const equipPair = (place, ensemble) => {
    follow(place, ensemble);
    place.addEventListener('click', (event) => {
      const button = event.target.closest('button');
      if (!button) return;
      if (button.dataset.sound) { ensemble.hear(button.dataset.sound); ensemble.play(); }
      else if (button.dataset.do === 'switch') ensemble.switch();
      else if (button.dataset.do === 'play') ensemble.toggle();
    });
    place.addEventListener('keydown', (event) => {
      if (!plain(event) || typing(event.target)) return;
      const key = event.key.toUpperCase();
      if (key === ' ' && !event.target.closest('button')) ensemble.toggle();
      else if (key === 'S') ensemble.switch();
      else if (['A', 'B', 'D'].includes(key) && ensemble.buffers.has(key)) { ensemble.hear(key); ensemble.play(); }
      else return;
      event.preventDefault();
    });
  };

  const loadPair = async (details) => {
    const run = details.closest('.comparison').dataset.run;
    const [form, waiting, place] = ['.choice', '.waiting', '.place'].map((name) => details.querySelector(name));
    const wanted = JSON.stringify({run, ...chosen(form)});
    if (details.wanted === wanted) return;
    details.wanted = wanted;
    listening.pair?.pause();
    waiting.textContent = waiting.dataset.loading;
    try {
      const told = await call('POST', 'myna/pairs', JSON.parse(wanted));
      const ensemble = await fetched(told.sounds, told.rate);
      if (details.wanted !== wanted) return; // another choice was made meanwhile
      place.innerHTML = told.html;
      listening.pair = ensemble;
      equipPair(place.querySelector('.pair'), ensemble);
      waiting.textContent = '';
    } catch (error) {
      if (details.wanted !== wanted) return;
      details.wanted = null;
      place.textContent = '';
      waiting.textContent = error.message;
    }
  };

  /* ---------------------------------------------------------------- a run's results */
  /* Make the place show a run's `html`, leaving alone what has not changed. */
  const compared = (place, html) => {
    if (place.source === html) return;
    place.source = html;
    listening.pair?.pause();
    place.innerHTML = html || '';
    document.body.classList.toggle('has-comparison', Boolean(html));
    const article = place.querySelector('.comparison');
    if (!article) return;
    if (article.offsetParent) article.scrollIntoView({block: 'nearest'});
    article.querySelector('[data-do=blind]')?.addEventListener('click', () => prepare(article));
    const details = article.querySelector('[data-part=listen]');
    details?.addEventListener('toggle', () => { if (details.open) loadPair(details); else listening.pair?.pause(); });
    details?.querySelector('.choice').addEventListener('change', () => loadPair(details));
  };

  /* ---------------------------------------------------------------- the blind test */
  const remembered = () => {
    try { return JSON.parse(localStorage.getItem(KEPT)); } catch { return null; }
  };
  const remember = (token, open) => {
    if (token) localStorage.setItem(KEPT, JSON.stringify({token, open}));
    else localStorage.removeItem(KEPT);
    document.querySelectorAll('#resume-blind').forEach((button) => { button.hidden = !token || open; });
  };

  let dialog = null;
  const stage = (html) => {
    if (!dialog) {
      dialog = document.createElement('dialog');
      dialog.className = 'blind';
      dialog.setAttribute('aria-labelledby', 'blind-title');
      dialog.addEventListener('cancel', (event) => { event.preventDefault(); later(); });
      dialog.addEventListener('click', clicked);
      dialog.addEventListener('keydown', pressed);
      dialog.addEventListener('submit', (event) => { event.preventDefault(); begin(); });
      document.querySelector('.gradio-container').append(dialog);
    }
    dialog.innerHTML = html;
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    dialog.querySelector('h2').focus();
  };

  const say = (words) => { dialog.querySelector('.said').textContent = words; };

  const shut = () => {
    listening.trial?.pause();
    listening.trial = null;
    dialog.close();
    dialog.innerHTML = '';
  };

  const later = () => {
    const kept = remembered();
    if (dialog.querySelector('.trial') && kept) remember(kept.token, false);
    shut();
  };

  /* The choice of two takes, the question and the number of trials. */
  const prepare = (article) => {
    listening.pair?.pause();
    stage(article.querySelector('template').innerHTML);
    dialog.run = article.dataset.run;
    const form = article.querySelector('[data-part=listen] .choice');
    new FormData(form).forEach((value, name) => { dialog.querySelector(`[name=${name}]`).value = value; });
    const own = dialog.querySelector('[name=own]');
    own.addEventListener('input', () => { dialog.querySelector('[value=own]').checked = true; });
  };

  const busy = async (work) => {
    if (dialog.busy) return;
    dialog.busy = true;
    try {
      await work();
    } catch (error) {
      say(error.message);
    } finally {
      dialog.busy = false;
    }
  };

  const begin = () => busy(async () => {
    const form = dialog.querySelector('form');
    const {kind, trials, own} = Object.fromEntries(new FormData(form));
    const count = Number(trials === 'own' ? own : trials);
    await show(await call('POST', 'myna/blind', {run: dialog.run, ...chosen(form), kind, trials: count}));
  });

  const show = async (told) => {
    listening.trial?.pause();
    listening.trial = null;
    if (told.finished) {
      remember(null);
      stage(told.html);
      return;
    }
    const ensemble = await fetched(told.sounds, told.rate);
    remember(told.token, true);
    stage(told.html);
    Object.assign(dialog, {token: told.token, number: told.number, answer: null});
    const place = dialog.querySelector('.trial');
    const course = place.querySelector('.course i');
    listening.trial = ensemble;
    let told_once = false; // no sound is marked as heard before one was asked for
    const tick = () => {
      course.style.width = `${100 * ensemble.position / ensemble.duration}%`;
      if (ensemble.playing && place.isConnected) requestAnimationFrame(tick);
    };
    ensemble.changed = () => {
      told_once = told_once || ensemble.playing;
      if (told_once) reflect(place, ensemble);
      tick();
    };
  };

  const answer = (letter) => {
    dialog.answer = letter;
    dialog.querySelectorAll('[data-answer]').forEach((button) =>
      button.setAttribute('aria-pressed', String(button.dataset.answer === letter)));
    say('');
    dialog.querySelector('[data-do=next]').focus();
  };

  const next = () => busy(async () => {
    if (!dialog.answer) {
      const place = dialog.querySelector('.said');
      place.textContent = place.dataset.first;
      return;
    }
    const sent = {number: dialog.number, answer: dialog.answer};
    await show(await call('POST', `myna/blind/${dialog.token}`, sent));
  });

  const abandon = () => busy(async () => {
    const {token} = dialog;
    shut();
    remember(null);
    await call('DELETE', `myna/blind/${token}`);
  });

  const hear = (letter) => {
    listening.trial.hear(letter);
    listening.trial.play();
  };

  const clicked = (event) => {
    const button = event.target.closest('button');
    if (!button) return;
    if (button.dataset.sound) hear(button.dataset.sound);
    else if (button.dataset.answer) answer(button.dataset.answer);
    else ({next, later, abandon, close: shut, play: () => listening.trial.toggle()})[button.dataset.do]?.();
  };

  const pressed = (event) => {
    if (!listening.trial || !plain(event) || event.repeat) return;
    const key = event.key.toUpperCase();
    const answers = {1: 'A', 2: 'B', 3: '=', ARROWLEFT: 'A', ARROWRIGHT: 'B'};
    const onButton = event.target.closest('button, summary');
    if (['A', 'B', 'X'].includes(key) && listening.trial.buffers.has(key)) hear(key);
    else if (key in answers && dialog.querySelector(`[data-answer="${answers[key]}"]`)) answer(answers[key]);
    else if (key === ' ' && !onButton) listening.trial.toggle();
    else if (key === 'ENTER' && !onButton) next();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  /* A test that was begun is there again after a reload; one put off waits behind a button. */
  const resume = async () => {
    const kept = remembered();
    if (!kept?.token) return;
    try {
      await show(await call('GET', `myna/blind/${encodeURIComponent(kept.token)}`));
    } catch (error) {
      remember(null);
      console.warn('Myna: the blind test is not there any more', error);
    }
  };

  /* Show the button of a test that waits, once the page has it. */
  const offer = () => {
    const kept = remembered();
    remember(kept?.token, kept?.open);
  };

  const settle = () => {
    if (!document.querySelector('.gradio-container .masthead')) setTimeout(settle, 100); // Gradio still builds
    else if (remembered()?.open) resume();
  };

  Object.assign(window.myna, {compared, listening, resumeBlind: resume, offerBlind: offer});
  settle();
})();
