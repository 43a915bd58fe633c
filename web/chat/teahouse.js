// The first chat page: the classic dialect of docs/protocol.md, in one file and without a build.
// What others wrote reaches the page through textContent only.

const words = {
  en: {
    name: 'Teahouse',
    otherLanguage: '简体中文',
    login: 'Log in',
    register: 'Register',
    loginTitle: 'Come in',
    registerTitle: 'Make an account',
    toRegister: 'New here? Register',
    toLogin: 'I have an account',
    loginName: 'Username or e-mail address',
    registerName: 'Username (3 to 20 characters)',
    email: 'E-mail address',
    password: 'Password',
    passwordRule: '6 to 50 characters, with a letter and a digit',
    logout: 'Log out',
    panes: 'Parts of the page',
    chat: 'Chat',
    rooms: 'Rooms',
    lobby: 'Lobby',
    lobbyNote: 'everybody is here',
    private: 'Private messages',
    privateNote: 'only the two of you',
    noConversations: 'Choose somebody who is online to write to.',
    online: 'Online',
    you: 'you',
    crowd: 'A full house: too many to list here.',
    write: 'Your message',
    writeTo: (name) => `Write to ${name}`,
    writeLobby: 'Write to everybody',
    send: 'Send',
    left: (count) => (count < 0 ? `${-count} characters too many` : `${count} characters left`),
    earlier: 'Earlier messages',
    newer: 'New messages',
    nothingYet: 'Nothing has been said here yet.',
    sending: 'sending…',
    notSent: 'Not sent.',
    sendAgain: 'Send again',
    dropIt: 'Discard',
    read: 'read',
    unread: (count) => `${count} unread`,
    connecting: 'Connecting…',
    lost: 'The connection is lost. Coming back…',
    noSocket: 'The server answers, but the live connection does not open. Coming back…',
    tryNow: 'Try now',
    elsewhere: 'You are connected elsewhere.',
    useHere: 'Use it here',
    ended: 'The server ended this connection.',
    connectAgain: 'Connect again',
    loginAgain: 'Please log in again.',
    unreachable: 'The server cannot be reached. Please try again.',
    says: (name, text) => `${name}: ${text}`,
  },
  zh: {
    name: '茶馆 Teahouse',
    otherLanguage: 'English',
    login: '登录',
    register: '注册',
    loginTitle: '欢迎光临',
    registerTitle: '创建账号',
    toRegister: '还没有账号？注册',
    toLogin: '已有账号，去登录',
    loginName: '用户名或邮箱',
    registerName: '用户名（3 到 20 个字符）',
    email: '邮箱',
    password: '密码',
    passwordRule: '6 到 50 个字符，须包含字母和数字',
    logout: '退出',
    panes: '页面分区',
    chat: '聊天',
    rooms: '房间',
    lobby: '大厅',
    lobbyNote: '所有人都在这里',
    private: '私信',
    privateNote: '只有你们两人可见',
    noConversations: '从在线列表里选一个人，开始私聊。',
    online: '在线',
    you: '我',
    crowd: '高朋满座，人数太多，不在此列出。',
    write: '消息内容',
    writeTo: (name) => `发私信给 ${name}`,
    writeLobby: '对大家说点什么',
    send: '发送',
    left: (count) => (count < 0 ? `超出 ${-count} 个字符` : `还可输入 ${count} 个字符`),
    earlier: '更早的消息',
    newer: '有新消息',
    nothingYet: '这里还没有人说话。',
    sending: '发送中…',
    notSent: '未发送。',
    sendAgain: '重新发送',
    dropIt: '放弃',
    read: '已读',
    unread: (count) => `${count} 条未读`,
    connecting: '正在连接…',
    lost: '连接已断开，正在重新连接…',
    noSocket: '服务器有响应，但实时连接未能建立，正在重试…',
    tryNow: '立即重试',
    elsewhere: '你的账号已在别处连接。',
    useHere: '在此处使用',
    ended: '服务器结束了此连接。',
    connectAgain: '重新连接',
    loginAgain: '请重新登录。',
    unreachable: '无法连接服务器，请重试。',
    says: (name, text) => `${name}：${text}`,
  },
};

const LOBBY_CHARS_MAX = 500;
const PRIVATE_CHARS_MAX = 1000;
const PAGE_MESSAGES = 50;
// What stays in the page of a thread while one reads its end; the server has the rest.
const THREAD_MESSAGES_MAX = 1000;
// Beyond this many the list of names is not fetched: every page fetching it on every change is a square.
const LISTED_PEOPLE_MAX = 300;
// Each page asks for lists at most this often, however often it has a reason to.
const LIST_INTERVAL_MS = 1000;
const HEARTBEAT_MS = 20_000;
const ANSWER_MS = 10_000;
// After the network or the page woke up, a dead socket is to be noticed soon.
const PROBE_MS = 3_000;
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 30_000;
// A connection that lived this long starts the backoff anew.
const STABLE_MS = 10_000;
const PATIENCE_MS = 800;
const TOAST_MS = 6_000;
// Two messages of one person within this time stand under one name.
const TOGETHER_MS = 5 * 60_000;

const byId = (id) => document.getElementById(id);
const all = (selector) => document.querySelectorAll(selector);

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// ── Language ──

let language = localStorage.getItem('teahouse.language') ?? (navigator.language.startsWith('zh') ? 'zh' : 'en');
if (!(language in words)) language = 'en';

const t = (key, ...values) => {
  const word = words[language][key];
  return typeof word === 'function' ? word(...values) : word;
};

function speak() {
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
  for (const element of all('[data-t]')) element.textContent = t(element.dataset.t);
  for (const element of all('[data-label]')) element.setAttribute('aria-label', t(element.dataset.label));
  for (const button of all('.language')) {
    button.textContent = t('otherLanguage');
    button.lang = language === 'zh' ? 'en' : 'zh-CN';
  }
  gate.speak();
  house?.speak();
}

const clock = (time) => new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: 'short' }).format(time);
const day = (time) => new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: 'full' }).format(time);

function toast(text, level = 'info') {
  if (!text) return;
  const element = make('div', { className: `toast ${level}`, textContent: text });
  byId('toasts').append(element);
  setTimeout(() => element.remove(), TOAST_MS);
}

// ── The account and its token ──

// The token lives in this tab's sessionStorage, so a refresh of the page keeps it and a closed tab forgets it. A new tab
// gets one of its own by the HttpOnly refresh cookie; the mark below only says that there may be such a cookie, so
// that a first visit need not ask for nothing.
const MARK = 'teahouse.returning';
const LEFT = 'teahouse.left';
const account = {
  token: sessionStorage.getItem('teahouse.token'),

  keep(token) {
    this.token = token;
    sessionStorage.setItem('teahouse.token', token);
    localStorage.setItem(MARK, '1');
  },

  forget() {
    this.token = null;
    sessionStorage.clear();
    localStorage.removeItem(MARK);
  },

  // One refresh at a time: the cookie is rotated, and a second use of the old one would be refused.
  refreshing: null,
  refresh() {
    this.refreshing ??= request('POST', '/api/auth/refresh', { bare: true })
      .then((data) => this.keep(data.token))
      .finally(() => (this.refreshing = null));
    return this.refreshing;
  },
};

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status; // 0: there was no answer at all.
  }
}

async function request(method, path, { body, key, bare } = {}) {
  const headers = { 'Accept-Language': language === 'zh' ? 'zh-CN' : 'en' };
  if (account.token && !bare) headers.Authorization = `Bearer ${account.token}`;
  if (body) headers['Content-Type'] = 'application/json';
  if (key) headers['Idempotency-Key'] = key;
  let response;
  try {
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: 'no-store' });
  } catch {
    throw new Refused(0, t('unreachable'));
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, answer.message || t('unreachable'));
  return answer.data;
}

// A request of the person who is logged in: an expired token is renewed once, and if that fails the gate is shown.
async function ask(method, path, options) {
  const asking = house;
  try {
    return await request(method, path, options);
  } catch (trouble) {
    if (trouble.status !== 401 || asking === null || asking !== house) throw trouble;
    await asking.renew();
    return request(method, path, options);
  }
}

// Runs `work` soon, never twice at once, at most once in LIST_INTERVAL_MS, and once more when asked meanwhile.
function gathered(work) {
  let busy = false;
  let again = false;
  return async function run() {
    if (busy) return void (again = true);
    busy = true;
    again = false;
    await work().catch(() => {}); // A list that could not be fetched is fetched with the next reason for it.
    setTimeout(() => {
      busy = false;
      if (again) run();
    }, LIST_INTERVAL_MS);
  };
}

// ── One connection ──

// Every handler below belongs to this one connection. Once it is over it tells nobody anything, so that the late `close`
// of an old socket cannot touch what the new one has set up.
class Connection {
  #socket;
  #over = false;
  #alive = false;
  #openedAt = 0;
  #timer = null;

  // on: { alive(), envelope(type, data), over({ code, reason, opened, stableMs }) }
  constructor(token, on) {
    this.on = on;
    const url = new URL('/api/chat/ws', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    // A browser can send no header with a WebSocket but the subprotocol, and it breaks the connection off when the server
    // answers none of those it offered. Only `teahouse.v1` could be answered, which would select the other dialect:
    // so the classic one takes the token in the query, as the old front end does. The server redacts it in its logs.
    url.searchParams.set('token', token);
    this.#socket = new WebSocket(url);
    // A busy server lets handshakes wait for their turn: more patience than with a socket that is open.
    this.#giveUpAfter(2 * ANSWER_MS);
    this.#socket.onopen = () => {
      this.#openedAt = performance.now();
      // The answer shows that the session is live in the lobby; what is fetched after it leaves no gap.
      this.probe(ANSWER_MS);
    };
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = ({ code, reason }) => this.#end(code, reason);
  }

  #receive(text) {
    if (this.#over) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.probe(ANSWER_MS), HEARTBEAT_MS);
    let envelope;
    try {
      envelope = JSON.parse(text);
    } catch {
      return;
    }
    if (!this.#alive) {
      this.#alive = true;
      this.on.alive();
    }
    this.on.envelope(envelope.type, envelope.data ?? {});
  }

  // Asks for a sign of life; a socket that gives none in time is given up without waiting for its `close`.
  probe(withinMs) {
    if (this.#over || this.#socket.readyState !== WebSocket.OPEN) return;
    this.#socket.send('{"type":"heartbeat","data":{}}');
    this.#giveUpAfter(withinMs);
  }

  #giveUpAfter(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#socket.close(4001, 'no sign of life');
      this.#end(4001, 'no sign of life');
    }, ms);
  }

  // Leaves for good: 1000 says goodbye, so the others see it at once.
  leave() {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#socket.close(1000);
  }

  #end(code, reason) {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    const stableMs = this.#openedAt ? performance.now() - this.#openedAt : 0;
    this.on.over({ code, reason, opened: this.#openedAt > 0, stableMs });
  }
}

// ── Threads: the lobby, and each private conversation ──

const person = ({ id, user_id, username, nickname }) => ({ id: id ?? user_id, username, name: nickname || username });

function face({ name, id }) {
  const element = make('span', { className: 'face', textContent: [...name][0] ?? '?', ariaHidden: 'true' });
  element.style.setProperty('--hue', (id * 137) % 360);
  return element;
}

class Thread {
  messages = new Map(); // id → { message, row }
  heldThrough = 0; // Up to this id nothing is missing here.
  filled = false;
  #marks = 0;
  #filling = Promise.resolve();

  constructor(me, { peer = null, conversation = null } = {}) {
    this.me = me;
    this.peer = peer;
    this.conversation = conversation;
    this.earlier = make('button', { className: 'earlier link', hidden: true, onclick: () => this.fetchEarlier() });
    this.rows = make('ol');
    this.drafts = make('ol');
    this.empty = make('p', { className: 'empty', hidden: true });
    this.element = make('div', {}, this.earlier, this.empty, this.rows, this.drafts);
    this.element.setAttribute('role', 'log');
    this.element.ariaLive = 'polite';
    this.draft = '';
    this.speak();
  }

  get charsMax() {
    return this.peer ? PRIVATE_CHARS_MAX : LOBBY_CHARS_MAX;
  }

  get path() {
    return this.peer ? `/api/conversations/${this.conversation}/messages` : '/api/chat/messages';
  }

  speak() {
    this.earlier.textContent = t('earlier');
    this.empty.textContent = t('nothingYet');
    this.element.ariaLabel = this.peer ? this.peer.name : t('lobby');
    for (const { message, row } of this.messages.values()) this.#write(row, message);
    for (const row of this.rows.children) this.#group(row);
    for (const row of this.drafts.children) row.speak();
  }

  // Both spellings of the wire, as one.
  #message(wire) {
    const author = wire.sender ? person(wire.sender) : person({ ...wire, id: wire.user_id });
    return {
      id: wire.id,
      author,
      text: wire.content,
      time: new Date(wire.send_time ?? wire.created_at),
      own: author.id === this.me.id,
      read: wire.is_read === true,
    };
  }

  // Shows a message in its place by id; one that is here already is only brought up to date.
  put(wire) {
    const message = this.#message(wire);
    const held = this.messages.get(message.id);
    if (held) {
      if (message.read && !held.message.read) {
        held.message.read = true;
        this.#write(held.row, held.message);
      }
      return false;
    }
    const row = make('li', { className: message.own ? 'message own' : 'message' });
    row.dataset.id = message.id;
    this.#write(row, message);
    let before = this.rows.lastElementChild;
    while (before && Number(before.dataset.id) > message.id) before = before.previousElementSibling;
    if (before) before.after(row);
    else this.rows.prepend(row);
    this.messages.set(message.id, { message, row });
    this.#group(row);
    if (row.nextElementSibling) this.#group(row.nextElementSibling);
    if (message.own) this.#meet(message);
    this.#sayIfEmpty();
    return true;
  }

  remove(id) {
    const held = this.messages.get(id);
    if (!held) return;
    const next = held.row.nextElementSibling;
    held.row.remove();
    this.messages.delete(id);
    if (next) this.#group(next);
    this.#sayIfEmpty();
  }

  // Drops the oldest rows of a long thread.
  trim() {
    while (this.messages.size > THREAD_MESSAGES_MAX) {
      this.remove(Number(this.rows.firstElementChild.dataset.id));
      this.earlier.hidden = false;
    }
  }

  // The other one has read everything up to now. What is on its way to the server may be among it: see `say`.
  markRead() {
    this.#marks += 1;
    for (const held of this.messages.values()) {
      if (!held.message.own || held.message.read) continue;
      held.message.read = true;
      this.#write(held.row, held.message);
    }
  }

  #write(row, { author, text, time, read, own }) {
    row.replaceChildren(
      face(author),
      make(
        'div',
        { className: 'body' },
        make(
          'div',
          { className: 'who' },
          make('span', { className: 'name', textContent: author.name, title: `@${author.username}` }),
          make('time', { dateTime: time.toISOString(), textContent: clock(time), title: day(time) }),
        ),
        make('p', { className: 'said', textContent: text }),
      ),
    );
    if (own && read) row.lastChild.append(make('p', { className: 'mark', textContent: t('read') }));
  }

  // A row that continues what stands above it has no name of its own; the first one of a day says which day.
  #group(row) {
    const { message } = this.messages.get(Number(row.dataset.id));
    const above = this.messages.get(Number(row.previousElementSibling?.dataset.id))?.message;
    const newDay = above?.time.toDateString() !== message.time.toDateString();
    if (newDay) row.dataset.day = day(message.time);
    else delete row.dataset.day;
    const together = above?.author.id === message.author.id && message.time - above.time < TOGETHER_MS;
    row.classList.toggle('more', together && !newDay);
  }

  #sayIfEmpty() {
    this.empty.hidden = !this.filled || this.messages.size > 0 || this.drafts.childElementCount > 0;
  }

  // Fetches what is missing: the newest page at first, later all that came after what is held. One at a time, and each
  // to its end: one that began before the present connection did may have read too little for it.
  fill() {
    const next = () => (this.peer ? this.#fillPrivate() : this.#fillLobby());
    this.#filling = this.#filling.then(next, next);
    return this.#filling;
  }

  async #fillLobby() {
    this.element.ariaBusy = 'true';
    try {
      if (this.heldThrough === 0) {
        const page = await ask('GET', `${this.path}?limit=${PAGE_MESSAGES}`);
        this.#take(page.messages);
        this.heldThrough = page.messages.at(-1)?.id ?? 0;
        this.earlier.hidden = !page.has_more;
      } else {
        for (let more = true; more; ) {
          const page = await ask('GET', `${this.path}/new?after_id=${this.heldThrough}&limit=100`);
          this.#take(page.messages);
          this.heldThrough = page.messages.at(-1)?.id ?? this.heldThrough;
          more = page.has_more && page.messages.length > 0;
        }
      }
      this.filled = true;
      this.#sayIfEmpty();
    } finally {
      this.element.ariaBusy = 'false';
    }
  }

  // A conversation has no "after": from its newest page backwards until what is held.
  async #fillPrivate() {
    this.element.ariaBusy = 'true';
    try {
      let newest = this.heldThrough;
      for (let before = 0, more = true; more; ) {
        const { messages } = await ask('GET', `${this.path}?limit=${PAGE_MESSAGES}&before_id=${before}`);
        this.#take(messages);
        newest = Math.max(newest, messages.at(-1)?.id ?? 0);
        if (this.heldThrough === 0) this.earlier.hidden = messages.length < PAGE_MESSAGES;
        more = this.heldThrough > 0 && messages.length === PAGE_MESSAGES && messages[0].id > this.heldThrough;
        before = messages[0]?.id;
      }
      this.heldThrough = newest;
      this.filled = true;
      this.#sayIfEmpty();
    } finally {
      this.element.ariaBusy = 'false';
    }
  }

  #take(messages) {
    for (const message of messages) this.put(message);
  }

  // Shows what came live. It proves that nothing before it is missing only if nothing was missing when it came
  // (`complete`); else the mark stays where it is, and the next `fill` brings what is behind it once more.
  live(wire, complete) {
    if (complete) this.heldThrough = Math.max(this.heldThrough, wire.id);
    return this.put(wire);
  }

  async fetchEarlier() {
    const oldest = Number(this.rows.firstElementChild?.dataset.id ?? 0);
    this.earlier.disabled = true;
    try {
      const page = await ask('GET', `${this.path}?limit=${PAGE_MESSAGES}&before_id=${oldest}`);
      const scroll = this.element.parentElement;
      const below = scroll ? scroll.scrollHeight - scroll.scrollTop : 0;
      for (const message of page.messages) this.put(message);
      if (scroll) scroll.scrollTop = scroll.scrollHeight - below;
      this.earlier.hidden = !(page.has_more ?? page.messages.length === PAGE_MESSAGES);
    } catch (trouble) {
      toast(trouble.message, 'error');
    } finally {
      this.earlier.disabled = false;
    }
  }

  // ── What one says oneself ──

  // The message stays here until the server has it: sending, then failed with "send again", under the same key, so
  // that a message whose answer was lost is not stored twice.
  say(text) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    const draft = { text, key: Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(''), echoes: new Map() };
    const said = make('p', { className: 'said', textContent: text });
    const mark = make('p', { className: 'mark' });
    const row = make('li', { className: 'message own' }, make('div', { className: 'body' }, said, mark));
    let trouble = null;
    row.draft = draft;
    row.speak = () => {
      row.className = trouble === null ? 'message own waiting' : 'message own failed';
      mark.replaceChildren(trouble === null ? t('sending') : make('span', { textContent: `${t('notSent')} ${trouble}` }));
      if (trouble === null) return;
      mark.append(
        make('button', { type: 'button', className: 'link', textContent: t('sendAgain'), onclick: () => send() }),
        make('button', { type: 'button', className: 'link', textContent: t('dropIt'), onclick: () => row.remove() }),
      );
    };
    const send = async () => {
      trouble = null;
      row.speak();
      const marks = this.#marks;
      try {
        const answer = await this.#post(draft);
        this.put({
          id: answer.message_id,
          sender: { ...this.me, nickname: this.me.name },
          content: text,
          // The answer for a private message carries no time; the next page of history will.
          created_at: answer.send_time ?? new Date().toISOString(),
        });
        row.remove();
        // A read mark that came faster than this answer may or may not mean this message: the history knows.
        if (marks !== this.#marks) this.fill().catch(() => {});
      } catch (error) {
        trouble = error.message;
        row.hidden = false;
        row.speak();
      }
      this.#sayIfEmpty();
    };
    this.drafts.append(row);
    this.#sayIfEmpty();
    return send();
  }

  #post({ text, key }) {
    return this.peer
      ? ask('POST', '/api/messages/send', { body: { receiver_id: this.peer.id, content: text }, key })
      : ask('POST', '/api/chat/send', { body: { content: text }, key });
  }

  // One's own message may come live before the answer to its sending: the draft steps aside, so that it is seen once.
  #meet({ text }) {
    for (const row of this.drafts.children) {
      if (row.hidden || row.draft.text !== text || !row.classList.contains('waiting')) continue;
      row.hidden = true;
      return;
    }
  }
}

// ── The gate ──

const gate = {
  registering: false,

  open(sentence) {
    byId('house').hidden = true;
    byId('gate').hidden = false;
    document.body.dataset.state = 'gate';
    this.trouble(sentence);
    this.speak();
    byId('gate').querySelector('[name=username]').focus();
  },

  trouble(sentence) {
    byId('gate-trouble').textContent = sentence ?? '';
    byId('gate-trouble').hidden = !sentence;
  },

  speak() {
    const { registering } = this;
    byId('gate-title').textContent = t(registering ? 'registerTitle' : 'loginTitle');
    byId('gate-name').textContent = t(registering ? 'registerName' : 'loginName');
    byId('gate-go').textContent = t(registering ? 'register' : 'login');
    byId('gate-other').textContent = t(registering ? 'toLogin' : 'toRegister');
    byId('gate-email').hidden = !registering;
    byId('gate-rule').hidden = !registering;
    const form = byId('gate').firstElementChild;
    form.elements.email.required = registering;
    form.elements.password.autocomplete = registering ? 'new-password' : 'current-password';
  },

  async enter(form) {
    const { username, password, email } = Object.fromEntries(new FormData(form));
    const path = this.registering ? '/api/auth/register' : '/api/auth/login';
    const body = this.registering ? { username: username.trim(), password, email } : { username: username.trim(), password };
    this.trouble(null);
    byId('gate-go').disabled = true;
    try {
      const { token, user } = await request('POST', path, { body, bare: true });
      account.keep(token);
      form.reset();
      this.registering = false;
      enter(user);
    } catch (trouble) {
      this.trouble(trouble.message);
    } finally {
      byId('gate-go').disabled = false;
    }
  },
};

// ── The house: one person, logged in ──

class House {
  #connection = null;
  #complete = false; // The lobby holds everything up to the newest live message.
  #tries = 0;
  #retry = null;
  #threads = new Map(); // conversation → Thread
  #unread = 0;
  #state = null;
  #patience = null;

  constructor(me) {
    this.me = me;
    this.lobby = new Thread(me);
    this.open = this.lobby;
    this.people = [];
    this.count = null;
    this.conversations = [];
    this.fetchPeople = gathered(() => this.#fetchPeople());
    this.fetchConversations = gathered(() => this.#fetchConversations());
    byId('own-name').textContent = me.name;
    byId('own-name').title = `@${me.username}`;
    byId('gate').hidden = true;
    byId('house').hidden = false;
    this.show(this.lobby);
    this.speak();
    this.connect();
    // Who is online can change while the count stays.
    this.timer = setInterval(() => this.fetchPeople(), 60_000);
  }

  // Ends everything that belongs to this person in this page.
  close() {
    clearInterval(this.timer);
    clearTimeout(this.#retry);
    clearTimeout(this.#patience);
    this.#connection?.leave();
    this.#connection = null;
    house = null;
    document.title = t('name');
    for (const id of ['scroll', 'online', 'conversations', 'toasts']) byId(id).replaceChildren();
    byId('compose').reset();
  }

  speak() {
    for (const thread of [this.lobby, ...this.#threads.values()]) thread.speak();
    this.#title();
    this.#listPeople();
    this.#listConversations();
    if (this.#state) this.say(...this.#state);
    this.measure();
  }

  // ── Connecting ──

  connect() {
    clearTimeout(this.#retry);
    this.#connection?.leave();
    if (!this.#away) this.say('connecting');
    this.#complete = false;
    const connection = new Connection(account.token, {
      alive: () => {
        if (connection === this.#connection) this.#alive(connection);
      },
      envelope: (type, data) => {
        if (connection === this.#connection) this.#receive(type, data);
      },
      over: (end) => {
        if (connection === this.#connection) this.#over(end);
      },
    });
    this.#connection = connection;
  }

  // The session is live from here on; what was missed is behind it.
  async #alive(connection) {
    this.fetchConversations();
    this.fetchPeople();
    try {
      await this.lobby.fill();
      if (connection !== this.#connection) return;
      this.#complete = true;
      if (this.open !== this.lobby) await this.#readOpen();
    } catch {
      // The live half works and the durable one does not answer: begin again, a little later.
      if (connection === this.#connection) {
        connection.leave();
        this.#over({ code: 1013, reason: '', opened: true, stableMs: 0 });
      }
      return;
    }
    if (connection !== this.#connection) return;
    this.say('live');
    this.#settle();
  }

  async #over({ code, reason, opened, stableMs }) {
    this.#connection = null;
    this.#complete = false;
    if (code === 4501) return this.say('elsewhere', 'useHere');
    if (code === 1008 || code === 1002 || reason.includes('Unauthorized')) return this.say('ended', 'connectAgain');
    if (stableMs >= STABLE_MS) this.#tries = 0;
    // A random part of the whole range, so that a restart does not bring everybody back in the same moment.
    const longest = Math.min(RETRY_MAX_MS, 2 * RETRY_MIN_MS * 2 ** this.#tries);
    this.#tries += 1;
    this.say('lost', 'tryNow');
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.connect(), RETRY_MIN_MS + Math.random() * (longest - RETRY_MIN_MS));
    if (opened || this.#tries < 3) return;
    // A browser does not say why a socket did not open. If the token is the reason, `ask` renews it or shows the gate.
    const answered = await ask('GET', '/api/auth/me').catch(() => null);
    if (answered && house === this && this.#state?.[0] === 'lost') this.say('noSocket', 'tryNow');
  }

  // The button of the line that says how the connection is.
  async go() {
    this.#tries = 0;
    if (this.#state[0] === 'ended') await this.renew().catch((trouble) => house === this && toast(trouble.message, 'error'));
    if (house === this) this.connect();
  }

  wake() {
    if (this.#connection) this.#connection.probe(PROBE_MS);
    else if (this.#away) this.connect();
  }

  // Not connected, and coming back by itself.
  get #away() {
    return this.#state?.[0] === 'lost' || this.#state?.[0] === 'noSocket';
  }

  // A fresh token by the refresh cookie. The cookie may be another account's by now (somebody else logged in in another
  // tab): then this one is over here, and nothing of it is shown to the other.
  async renew() {
    const refused = (sentence) => {
      leave(sentence);
      throw new Refused(401, sentence);
    };
    try {
      await account.refresh();
      const me = await request('GET', '/api/auth/me');
      if (me.id !== this.me.id) refused(t('loginAgain'));
    } catch (trouble) {
      if (trouble.status === 401 && house === this) refused(t('loginAgain'));
      throw trouble;
    }
  }

  say(state, action) {
    this.#state = [state, action];
    document.body.dataset.state = state;
    clearTimeout(this.#patience);
    // Connecting takes a moment, as a rule; it is worth a word only when it takes longer.
    byId('state').hidden = state === 'live' || state === 'connecting';
    if (state === 'connecting') this.#patience = setTimeout(() => (byId('state').hidden = false), PATIENCE_MS);
    byId('state-text').textContent = state === 'live' ? '' : t(state);
    byId('state-go').hidden = !action;
    byId('state-go').textContent = action ? t(action) : '';
  }

  #receive(type, data) {
    switch (type) {
      case 'message':
        if (this.lobby.live(data, this.#complete)) this.#arrived(this.lobby, data.user_id);
        break;
      case 'message_deleted':
        this.lobby.remove(data.id);
        break;
      case 'online_count':
        this.count = data.count;
        this.#listPeople();
        this.fetchPeople();
        break;
      case 'private_message':
        this.#privately(data.message);
        break;
      case 'message_read':
        if (data.reader_id !== this.me.id) this.#threads.get(data.conversation_id)?.markRead();
        break;
      case 'notification':
        // Being displaced is said by the line above the chat, which has the button.
        if (data.code !== 'displaced') toast(data.message, data.level === 'error' ? 'error' : 'info');
        break;
      default:
      // The heartbeat's answer, and what a site's backend publishes for its own pages.
    }
  }

  #privately(message) {
    const thread = this.#threads.get(message.conversation_id);
    if (thread) thread.live(message, false);
    if (thread && thread === this.open && talkIsSeen()) {
      this.#arrived(thread, message.sender.id);
      ask('POST', `/api/conversations/${message.conversation_id}/mark-read`)
        .catch(() => {}) // Opening the conversation marks it again.
        .then(() => this.fetchConversations());
      return;
    }
    if (thread) thread.stale = true;
    const { name } = person(message.sender);
    toast(t('says', name, message.content.length > 80 ? `${message.content.slice(0, 80)}…` : message.content));
    this.fetchConversations();
  }

  // ── Who is online ──

  async #fetchPeople() {
    if (house !== this) return;
    if (this.count > LISTED_PEOPLE_MAX) {
      this.people = [];
    } else {
      const { users } = await ask('GET', '/api/chat/online-users');
      this.people = users.map((user) => person({ ...user, id: user.user_id }));
    }
    if (house === this) this.#listPeople();
  }

  #listPeople() {
    for (const element of all('.online-count')) element.textContent = this.count === null ? '' : this.count;
    byId('crowd').hidden = !(this.count > LISTED_PEOPLE_MAX);
    const own = ({ id }) => id === this.me.id;
    const sorted = [...this.people].sort((a, b) => own(b) - own(a) || a.name.localeCompare(b.name, language));
    this.#list(byId('online'), sorted, ({ id }) => id, (who) => {
      const text = make('span', { className: 'text' }, make('span', { textContent: who.name }));
      if (own(who)) text.append(make('small', { textContent: t('you') }));
      const entry = make(own(who) ? 'div' : 'button', { className: 'entry', title: `@${who.username}` }, face(who), text);
      if (!own(who)) entry.onclick = () => this.writeTo(who);
      return entry;
    });
  }

  // Fills a list and leaves the keyboard's focus where it was.
  #list(list, entries, keyOf, draw) {
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    list.replaceChildren(
      ...entries.map((entry) => {
        const element = draw(entry);
        element.dataset.key = keyOf(entry);
        return make('li', {}, element);
      }),
    );
    if (focused !== null) list.querySelector(`[data-key="${focused}"]`)?.focus();
  }

  // ── Private conversations ──

  async #fetchConversations() {
    if (house !== this) return;
    const { conversations, total_unread } = await ask('GET', '/api/conversations');
    if (house !== this) return;
    this.conversations = conversations;
    this.#unread = total_unread;
    this.#listConversations();
    this.#title();
  }

  #listConversations() {
    byId('no-conversations').hidden = this.conversations.length > 0;
    for (const badge of all('.unread-total')) {
      badge.hidden = this.#unread === 0;
      badge.textContent = this.#unread > 99 ? '99+' : this.#unread;
      badge.title = t('unread', this.#unread);
    }
    this.#list(byId('conversations'), this.conversations, ({ id }) => id, (entry) => {
      const peer = person(entry.other_user);
      const text = make('span', { className: 'text' }, make('span', { className: 'name', textContent: peer.name }));
      if (entry.last_message) text.append(make('small', { textContent: entry.last_message }));
      const button = make('button', { className: 'entry' }, face(peer), text);
      if (entry.unread_count > 0) {
        const badge = make('span', { className: 'badge', textContent: entry.unread_count });
        badge.ariaLabel = t('unread', entry.unread_count);
        button.append(badge);
      }
      if (this.open.conversation === entry.id) button.ariaCurrent = 'true';
      button.onclick = () => this.showConversation(entry.id, peer);
      return button;
    });
  }

  async writeTo(who) {
    try {
      const { conversation_id } = await ask('POST', `/api/conversations/start/${who.id}`);
      if (house === this) this.showConversation(conversation_id, who);
    } catch (trouble) {
      toast(trouble.message, 'error');
    }
  }

  showConversation(conversation, peer) {
    let thread = this.#threads.get(conversation);
    if (!thread) {
      thread = new Thread(this.me, { peer, conversation });
      this.#threads.set(conversation, thread);
    }
    this.show(thread);
    this.#readOpen().catch((trouble) => toast(trouble.message, 'error'));
  }

  // Fetching a conversation tells its author that it was read: only while somebody can see it.
  async #readOpen() {
    const thread = this.open;
    if (thread === this.lobby) return;
    thread.stale = true;
    if (!talkIsSeen()) return;
    await thread.fill();
    thread.stale = false;
    if (house !== this) return;
    this.#settle();
    this.fetchConversations();
  }

  seen() {
    if (this.open.stale) this.#readOpen().catch(() => {}); // It stays stale, and is read with the next reason.
  }

  // ── The open thread ──

  show(thread) {
    const textarea = byId('compose').elements.content;
    this.open.draft = textarea.value;
    this.open = thread;
    textarea.value = thread.draft;
    byId('scroll').replaceChildren(thread.element);
    byId('newer').hidden = true;
    byId('lobby').ariaCurrent = thread === this.lobby ? 'true' : null;
    this.#listConversations();
    this.#title();
    this.measure();
    pane('talk');
    this.#toEnd();
    if (matchMedia('(min-width: 60rem)').matches) textarea.focus();
  }

  #title() {
    const { peer } = this.open;
    document.title = this.#unread > 0 ? `(${this.#unread}) ${t('name')}` : t('name');
    byId('talk-title').textContent = peer ? peer.name : t('lobby');
    byId('talk-note').textContent = t(peer ? 'privateNote' : 'lobbyNote');
    byId('compose').elements.content.placeholder = peer ? t('writeTo', peer.name) : t('writeLobby');
  }

  #atEnd = true;

  scrolled() {
    const scroll = byId('scroll');
    this.#atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
    if (this.#atEnd) byId('newer').hidden = true;
  }

  #toEnd() {
    const scroll = byId('scroll');
    scroll.scrollTop = scroll.scrollHeight;
    this.#atEnd = true;
    byId('newer').hidden = true;
  }

  toEnd() {
    this.#toEnd();
  }

  // After rows came or grew: who was at the end stays there, who reads further up is left alone.
  #settle() {
    if (this.#atEnd) this.#toEnd();
  }

  #arrived(thread, author) {
    if (thread !== this.open) return;
    if (this.#atEnd) {
      thread.trim();
      this.#toEnd();
    } else if (author !== this.me.id) {
      byId('newer').hidden = false;
    }
  }

  measure() {
    const { charsMax } = this.open;
    const left = charsMax - [...byId('compose').elements.content.value.trim()].length;
    byId('left').hidden = left > charsMax / 5;
    byId('left').classList.toggle('over', left < 0);
    byId('left').textContent = left > charsMax / 5 ? '' : t('left', left);
    byId('compose').querySelector('button').disabled = left < 0 || left === charsMax;
  }

  submit() {
    const textarea = byId('compose').elements.content;
    const text = textarea.value.trim();
    if (!text || [...text].length > this.open.charsMax) return;
    const thread = this.open;
    textarea.value = '';
    this.measure();
    const sent = thread.say(text);
    this.#toEnd();
    sent.then(() => {
      if (house !== this) return;
      if (this.open === thread) this.#settle();
      if (thread.peer) this.fetchConversations();
    });
  }
}

let house = null;

function enter(user) {
  const nickname = user.nickname || user.profile?.nickname;
  house?.close();
  house = new House(person({ ...user, nickname }));
}

function leave(sentence) {
  house?.close();
  account.forget();
  gate.open(sentence);
}

// Whether somebody can see the open thread: not in a hidden tab, and not behind another pane of a narrow page.
const talkIsSeen = () => document.visibilityState === 'visible' && byId('scroll').getClientRects().length > 0;

function pane(name) {
  byId('house').dataset.pane = name;
  for (const button of all('#tabs button')) button.ariaPressed = String(button.dataset.pane === name);
  if (name === 'people') house?.fetchPeople();
  if (name === 'talk') house?.seen();
}

async function begin() {
  speak();
  try {
    if (!account.token && localStorage.getItem(MARK)) await account.refresh();
    if (!account.token) return gate.open();
    let me;
    try {
      me = await request('GET', '/api/auth/me');
    } catch (trouble) {
      if (trouble.status !== 401) throw trouble;
      await account.refresh();
      me = await request('GET', '/api/auth/me');
    }
    enter(me);
  } catch (trouble) {
    if (trouble.status === 401) account.forget();
    gate.open(trouble.message);
  }
}

for (const button of all('.language')) {
  button.onclick = () => {
    language = language === 'zh' ? 'en' : 'zh';
    localStorage.setItem('teahouse.language', language);
    speak();
  };
}
for (const button of all('#tabs button')) button.onclick = () => pane(button.dataset.pane);
byId('gate').firstElementChild.onsubmit = (event) => {
  event.preventDefault();
  gate.enter(event.target);
};
byId('gate-other').onclick = () => {
  gate.registering = !gate.registering;
  gate.trouble(null);
  gate.speak();
};
byId('logout').onclick = async () => {
  const goodbye = request('POST', '/api/auth/logout');
  localStorage.setItem(LEFT, `${house.me.id} ${Date.now()}`);
  leave();
  await goodbye.catch((trouble) => trouble.status !== 401 && toast(trouble.message, 'error'));
};
byId('state-go').onclick = () => house?.go();
byId('lobby').onclick = () => house?.show(house.lobby);
byId('newer').onclick = () => house?.toEnd();
byId('scroll').onscroll = () => house?.scrolled();
byId('compose').onsubmit = (event) => {
  event.preventDefault();
  house?.submit();
};
byId('compose').elements.content.oninput = () => house?.measure();
byId('compose').elements.content.onkeydown = (event) => {
  // Enter that ends a word of an input method is not for us (229 is how Safari says so).
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  house?.submit();
};
addEventListener('online', () => house?.wake());
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState !== 'visible') return;
  house?.wake();
  house?.seen();
});
// The same person logged out in another tab: here too.
addEventListener('storage', ({ key, newValue }) => {
  if (key === LEFT && house && newValue?.startsWith(`${house.me.id} `)) leave();
});

begin();
