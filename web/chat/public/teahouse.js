// The chat page: speaks the classic dialect of docs/protocol.md, in one file without a build.
// Texts of other users reach the document through textContent only.

const texts = {
  en: {
    name: 'Teahouse',
    otherLanguage: '简体中文',
    login: 'Log in',
    register: 'Register',
    loginTitle: 'Welcome',
    registerTitle: 'Create an account',
    toRegister: 'New here? Register',
    toLogin: 'I have an account',
    loginName: 'Username or e-mail address',
    registerName: 'Username (3 to 20 characters)',
    email: 'E-mail address',
    password: 'Password',
    passwordRule: '6 to 50 characters, with a letter and a digit',
    logout: 'Log out',
    panes: 'Views',
    chat: 'Chat',
    rooms: 'Rooms',
    lobby: 'Lobby',
    lobbyNote: 'visible to everyone',
    private: 'Private messages',
    privateNote: 'visible only to the two of you',
    noConversations: 'Select a user who is online to start a conversation.',
    online: 'Online',
    you: 'you',
    crowd: 'Too many users to list.',
    write: 'Your message',
    writeTo: (name) => `Write to ${name}`,
    writeLobby: 'Write to everyone',
    send: 'Send',
    left: (count) => (count < 0 ? `${-count} characters too many` : `${count} characters left`),
    earlier: 'Earlier messages',
    newer: 'New messages',
    nothingYet: 'No messages yet.',
    sending: 'sending…',
    notSent: 'Not sent.',
    sendAgain: 'Send again',
    discard: 'Discard',
    read: 'read',
    unread: (count) => `${count} unread`,
    connecting: 'Connecting…',
    lost: 'Connection lost. Reconnecting…',
    noSocket: 'The server answers, but the live connection does not open. Reconnecting…',
    tryNow: 'Try now',
    elsewhere: 'You are connected elsewhere.',
    useHere: 'Use it here',
    ended: 'The server closed this connection.',
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
    lobbyNote: '所有人可见',
    private: '私信',
    privateNote: '只有你们两人可见',
    noConversations: '从在线列表中选择一位用户，开始私聊。',
    online: '在线',
    you: '我',
    crowd: '在线人数太多，不在此列出。',
    write: '消息内容',
    writeTo: (name) => `发私信给 ${name}`,
    writeLobby: '对大家说点什么',
    send: '发送',
    left: (count) => (count < 0 ? `超出 ${-count} 个字符` : `还可输入 ${count} 个字符`),
    earlier: '更早的消息',
    newer: '有新消息',
    nothingYet: '还没有消息。',
    sending: '发送中…',
    notSent: '未发送。',
    sendAgain: '重新发送',
    discard: '放弃',
    read: '已读',
    unread: (count) => `${count} 条未读`,
    connecting: '正在连接…',
    lost: '连接已断开，正在重新连接…',
    noSocket: '服务器有响应，但实时连接未能建立，正在重试…',
    tryNow: '立即重试',
    elsewhere: '你的账号已在别处连接。',
    useHere: '在此处使用',
    ended: '服务器关闭了此连接。',
    connectAgain: '重新连接',
    loginAgain: '请重新登录。',
    unreachable: '无法连接服务器，请重试。',
    says: (name, text) => `${name}：${text}`,
  },
};

const LOBBY_CHARS_MAX = 500;
const PRIVATE_CHARS_MAX = 1000;
const PAGE_MESSAGES = 50;
// Messages of a thread that stay in the document; the server has the rest.
const THREAD_MESSAGES_MAX = 1000;
// With more users online the page does not fetch the list: every page fetching it on every change is quadratic.
const LISTED_USERS_MAX = 300;
// Minimum interval between two fetches of the same list.
const LIST_INTERVAL_MS = 1000;
const HEARTBEAT_MS = 20_000;
const ANSWER_TIMEOUT_MS = 10_000;
// After the network or the page wakes up, a dead socket is detected sooner.
const PROBE_TIMEOUT_MS = 3_000;
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 30_000;
// A connection that lasted this long resets the backoff.
const STABLE_MS = 10_000;
const CONNECTING_NOTICE_MS = 800;
const TOAST_MS = 6_000;
// Messages of one user within this time are grouped under one name.
const GROUP_MS = 5 * 60_000;

const byId = (id) => document.getElementById(id);
const all = (selector) => document.querySelectorAll(selector);

function createElement(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// ── Language ──

let language = localStorage.getItem('teahouse.language') ?? (navigator.language.startsWith('zh') ? 'zh' : 'en');
if (!(language in texts)) language = 'en';

const t = (key, ...values) => {
  const word = texts[language][key];
  return typeof word === 'function' ? word(...values) : word;
};

function translate() {
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
  for (const element of all('[data-t]')) element.textContent = t(element.dataset.t);
  for (const element of all('[data-label]')) element.setAttribute('aria-label', t(element.dataset.label));
  for (const button of all('.language')) {
    button.textContent = t('otherLanguage');
    button.lang = language === 'zh' ? 'en' : 'zh-CN';
  }
  loginView.translate();
  chat?.translate();
}

const clock = (time) => new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: 'short' }).format(time);
const day = (time) => new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: 'full' }).format(time);

function toast(text, level = 'info') {
  if (!text) return;
  const element = createElement('div', { className: `toast ${level}`, textContent: text });
  byId('toasts').append(element);
  setTimeout(() => element.remove(), TOAST_MS);
}

// ── The account and its token ──

// The token is in this tab's sessionStorage: a page refresh keeps it, closing the tab drops it. A new tab gets its own
// token with the HttpOnly refresh cookie. RETURNING says that the cookie may exist, so that a first visit skips the request.
const RETURNING = 'teahouse.returning';
const LOGGED_OUT = 'teahouse.left';
const account = {
  token: sessionStorage.getItem('teahouse.token'),

  keep(token) {
    this.token = token;
    sessionStorage.setItem('teahouse.token', token);
    localStorage.setItem(RETURNING, '1');
  },

  forget() {
    this.token = null;
    sessionStorage.clear();
    localStorage.removeItem(RETURNING);
  },

  // One refresh at a time: it rotates the cookie, and the server refuses a second use of the old one.
  refreshing: null,
  refresh() {
    this.refreshing ??= request('POST', '/api/auth/refresh', { bare: true })
      .then((data) => this.keep(data.token))
      .finally(() => (this.refreshing = null));
    return this.refreshing;
  },
};

class RequestError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status; // 0 when there was no answer.
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
    throw new RequestError(0, t('unreachable'));
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new RequestError(response.status, answer.message || t('unreachable'));
  return answer.data;
}

// A request of the user who is logged in. It renews an expired token once; if that fails, the login form appears.
async function authorizedRequest(method, path, options) {
  const asking = chat;
  try {
    return await request(method, path, options);
  } catch (error) {
    if (error.status !== 401 || asking === null || asking !== chat) throw error;
    await asking.renew();
    return request(method, path, options);
  }
}

// Runs `work` at most once in LIST_INTERVAL_MS and never concurrently; a call in between runs it once more afterwards.
function throttled(work) {
  let busy = false;
  let again = false;
  return async function run() {
    if (busy) return void (again = true);
    busy = true;
    again = false;
    await work().catch(() => {}); // The next call fetches the list again.
    setTimeout(() => {
      busy = false;
      if (again) run();
    }, LIST_INTERVAL_MS);
  };
}

// ── One connection ──

// Every handler belongs to this one connection. An ended connection calls nothing, so that the late `close` of an old
// socket cannot affect the state of the new one.
class Connection {
  #socket;
  #ended = false;
  #live = false;
  #openedAt = 0;
  #timer = null;

  // handlers: { live(), envelope(type, data), ended({ code, reason, opened, stableMs }) }
  constructor(token, handlers) {
    this.handlers = handlers;
    const url = new URL('/api/chat/ws', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    // A browser can set no header of a WebSocket but the subprotocol, and it closes the connection when the server selects
    // none of the offered ones. The server could only select `teahouse.v1`, which is the other dialect. So the token is in
    // the query, as in the old front end; the server redacts it in its logs.
    url.searchParams.set('token', token);
    this.#socket = new WebSocket(url);
    // Longer than for an open socket, since handshakes queue on a busy server.
    this.#closeAfter(2 * ANSWER_TIMEOUT_MS);
    this.#socket.onopen = () => {
      this.#openedAt = performance.now();
      // The answer proves that the session is live in the lobby, so that a fetch after it leaves no gap.
      this.probe(ANSWER_TIMEOUT_MS);
    };
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = ({ code, reason }) => this.#end(code, reason);
  }

  #receive(text) {
    if (this.#ended) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.probe(ANSWER_TIMEOUT_MS), HEARTBEAT_MS);
    let envelope;
    try {
      envelope = JSON.parse(text);
    } catch {
      return;
    }
    if (!this.#live) {
      this.#live = true;
      this.handlers.live();
    }
    this.handlers.envelope(envelope.type, envelope.data ?? {});
  }

  // Sends a heartbeat. Without an answer in time, the connection ends without waiting for the socket's `close`.
  probe(timeoutMs) {
    if (this.#ended || this.#socket.readyState !== WebSocket.OPEN) return;
    this.#socket.send('{"type":"heartbeat","data":{}}');
    this.#closeAfter(timeoutMs);
  }

  #closeAfter(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#socket.close(4001, 'heartbeat timeout');
      this.#end(4001, 'heartbeat timeout');
    }, ms);
  }

  // Ends the connection for good. Code 1000 means that the user goes offline at once.
  leave() {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#socket.close(1000);
  }

  #end(code, reason) {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    const stableMs = this.#openedAt ? performance.now() - this.#openedAt : 0;
    this.handlers.ended({ code, reason, opened: this.#openedAt > 0, stableMs });
  }
}

// ── Threads: the lobby and each private conversation ──

const toUser = ({ id, user_id, username, nickname }) => ({ id: id ?? user_id, username, name: nickname || username });

function avatar({ name, id }) {
  const element = createElement('span', { className: 'avatar', textContent: [...name][0] ?? '?', ariaHidden: 'true' });
  element.style.setProperty('--hue', (id * 137) % 360);
  return element;
}

class Thread {
  messages = new Map(); // id → { message, row }
  completeThrough = 0; // No message up to this id is missing.
  filled = false;
  #readMarks = 0;
  #filling = Promise.resolve();

  constructor(me, { peer = null, conversation = null } = {}) {
    this.me = me;
    this.peer = peer;
    this.conversation = conversation;
    this.earlier = createElement('button', { className: 'earlier link', hidden: true, onclick: () => this.fetchEarlier() });
    this.rows = createElement('ol');
    this.drafts = createElement('ol');
    this.empty = createElement('p', { className: 'empty', hidden: true });
    this.element = createElement('div', {}, this.earlier, this.empty, this.rows, this.drafts);
    this.element.setAttribute('role', 'log');
    this.element.ariaLive = 'polite';
    this.draft = '';
    this.translate();
  }

  get charsMax() {
    return this.peer ? PRIVATE_CHARS_MAX : LOBBY_CHARS_MAX;
  }

  get path() {
    return this.peer ? `/api/conversations/${this.conversation}/messages` : '/api/chat/messages';
  }

  translate() {
    this.earlier.textContent = t('earlier');
    this.empty.textContent = t('nothingYet');
    this.element.ariaLabel = this.peer ? this.peer.name : t('lobby');
    for (const { message, row } of this.messages.values()) this.#write(row, message);
    for (const row of this.rows.children) this.#group(row);
    for (const row of this.drafts.children) row.redraw();
  }

  // A message of the lobby or of a conversation, which have different shapes on the wire.
  #message(wire) {
    const author = wire.sender ? toUser(wire.sender) : toUser({ ...wire, id: wire.user_id });
    return {
      id: wire.id,
      author,
      text: wire.content,
      time: new Date(wire.send_time ?? wire.created_at),
      own: author.id === this.me.id,
      read: wire.is_read === true,
    };
  }

  // Shows a message at its position by id, or updates the one that is shown. Returns whether it is new.
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
    const row = createElement('li', { className: message.own ? 'message own' : 'message' });
    row.dataset.id = message.id;
    this.#write(row, message);
    let before = this.rows.lastElementChild;
    while (before && Number(before.dataset.id) > message.id) before = before.previousElementSibling;
    if (before) before.after(row);
    else this.rows.prepend(row);
    this.messages.set(message.id, { message, row });
    this.#group(row);
    if (row.nextElementSibling) this.#group(row.nextElementSibling);
    if (message.own) this.#hideDraft(message);
    this.#updateEmpty();
    return true;
  }

  remove(id) {
    const held = this.messages.get(id);
    if (!held) return;
    const next = held.row.nextElementSibling;
    held.row.remove();
    this.messages.delete(id);
    if (next) this.#group(next);
    this.#updateEmpty();
  }

  // Drops the oldest rows of a long thread.
  trim() {
    while (this.messages.size > THREAD_MESSAGES_MAX) {
      this.remove(Number(this.rows.firstElementChild.dataset.id));
      this.earlier.hidden = false;
    }
  }

  // The peer has read everything so far, possibly including a message that is being sent: see `send`.
  markRead() {
    this.#readMarks += 1;
    for (const held of this.messages.values()) {
      if (!held.message.own || held.message.read) continue;
      held.message.read = true;
      this.#write(held.row, held.message);
    }
  }

  #write(row, { author, text, time, read, own }) {
    row.replaceChildren(
      avatar(author),
      createElement(
        'div',
        { className: 'body' },
        createElement(
          'div',
          { className: 'author' },
          createElement('span', { className: 'name', textContent: author.name, title: `@${author.username}` }),
          createElement('time', { dateTime: time.toISOString(), textContent: clock(time), title: day(time) }),
        ),
        createElement('p', { className: 'content', textContent: text }),
      ),
    );
    if (own && read) row.lastChild.append(createElement('p', { className: 'mark', textContent: t('read') }));
  }

  // Groups a row with the one above it: a grouped row shows no name, and the first row of a day shows the date.
  #group(row) {
    const { message } = this.messages.get(Number(row.dataset.id));
    const above = this.messages.get(Number(row.previousElementSibling?.dataset.id))?.message;
    const newDay = above?.time.toDateString() !== message.time.toDateString();
    if (newDay) row.dataset.day = day(message.time);
    else delete row.dataset.day;
    const grouped = above?.author.id === message.author.id && message.time - above.time < GROUP_MS;
    row.classList.toggle('more', grouped && !newDay);
  }

  #updateEmpty() {
    this.empty.hidden = !this.filled || this.messages.size > 0 || this.drafts.childElementCount > 0;
  }

  // Fetches missing messages: first the newest page, later everything after `completeThrough`. Fetches run one after the
  // other, since one that began before the current connection may have read too little.
  fill() {
    const next = () => (this.peer ? this.#fillPrivate() : this.#fillLobby());
    this.#filling = this.#filling.then(next, next);
    return this.#filling;
  }

  async #fillLobby() {
    this.element.ariaBusy = 'true';
    try {
      if (this.completeThrough === 0) {
        const page = await authorizedRequest('GET', `${this.path}?limit=${PAGE_MESSAGES}`);
        this.#take(page.messages);
        this.completeThrough = page.messages.at(-1)?.id ?? 0;
        this.earlier.hidden = !page.has_more;
      } else {
        for (let more = true; more; ) {
          const page = await authorizedRequest('GET', `${this.path}/new?after_id=${this.completeThrough}&limit=100`);
          this.#take(page.messages);
          this.completeThrough = page.messages.at(-1)?.id ?? this.completeThrough;
          more = page.has_more && page.messages.length > 0;
        }
      }
      this.filled = true;
      this.#updateEmpty();
    } finally {
      this.element.ariaBusy = 'false';
    }
  }

  // The history of a conversation has no `after`: it fetches pages backwards from the newest to `completeThrough`.
  async #fillPrivate() {
    this.element.ariaBusy = 'true';
    try {
      let newest = this.completeThrough;
      for (let before = 0, more = true; more; ) {
        const { messages } = await authorizedRequest('GET', `${this.path}?limit=${PAGE_MESSAGES}&before_id=${before}`);
        this.#take(messages);
        newest = Math.max(newest, messages.at(-1)?.id ?? 0);
        if (this.completeThrough === 0) this.earlier.hidden = messages.length < PAGE_MESSAGES;
        more = this.completeThrough > 0 && messages.length === PAGE_MESSAGES && messages[0].id > this.completeThrough;
        before = messages[0]?.id;
      }
      this.completeThrough = newest;
      this.filled = true;
      this.#updateEmpty();
    } finally {
      this.element.ariaBusy = 'false';
    }
  }

  #take(messages) {
    for (const message of messages) this.put(message);
  }

  // Shows a live message. Only if nothing was missing before it (`complete`) does it advance `completeThrough`; otherwise
  // the next `fill` fetches it again.
  live(wire, complete) {
    if (complete) this.completeThrough = Math.max(this.completeThrough, wire.id);
    return this.put(wire);
  }

  async fetchEarlier() {
    const oldest = Number(this.rows.firstElementChild?.dataset.id ?? 0);
    this.earlier.disabled = true;
    try {
      const page = await authorizedRequest('GET', `${this.path}?limit=${PAGE_MESSAGES}&before_id=${oldest}`);
      const scroll = this.element.parentElement;
      const below = scroll ? scroll.scrollHeight - scroll.scrollTop : 0;
      for (const message of page.messages) this.put(message);
      if (scroll) scroll.scrollTop = scroll.scrollHeight - below;
      this.earlier.hidden = !(page.has_more ?? page.messages.length === PAGE_MESSAGES);
    } catch (error) {
      toast(error.message, 'error');
    } finally {
      this.earlier.disabled = false;
    }
  }

  // ── Sending ──

  // Sends a message. Its draft row stays until the server has stored it. "Send again" uses the same idempotency key, so
  // that a message whose answer was lost is not stored twice.
  send(text) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    const draft = { text, key: Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('') };
    const content = createElement('p', { className: 'content', textContent: text });
    const mark = createElement('p', { className: 'mark' });
    const body = createElement('div', { className: 'body' }, content, mark);
    const row = createElement('li', { className: 'message own' }, body);
    let failure = null;
    row.draft = draft;
    row.redraw = () => {
      row.className = failure === null ? 'message own waiting' : 'message own failed';
      if (failure === null) return mark.replaceChildren(t('sending'));
      mark.replaceChildren(
        createElement('span', { textContent: `${t('notSent')} ${failure}` }),
        createElement('button', { type: 'button', className: 'link', textContent: t('sendAgain'), onclick: () => post() }),
        createElement('button', { type: 'button', className: 'link', textContent: t('discard'), onclick: () => row.remove() }),
      );
    };
    const post = async () => {
      failure = null;
      row.redraw();
      const readMarks = this.#readMarks;
      try {
        const answer = await this.#post(draft);
        this.put({
          id: answer.message_id,
          sender: { ...this.me, nickname: this.me.name },
          content: text,
          // The answer to a private message has no time; the next page of history has it.
          created_at: answer.send_time ?? new Date().toISOString(),
        });
        row.remove();
        // A read mark that overtook this answer may or may not cover the message; the history decides.
        if (readMarks !== this.#readMarks) this.fill().catch(() => {});
      } catch (error) {
        failure = error.message;
        row.hidden = false;
        row.redraw();
      }
      this.#updateEmpty();
    };
    this.drafts.append(row);
    this.#updateEmpty();
    return post();
  }

  #post({ text, key }) {
    return this.peer
      ? authorizedRequest('POST', '/api/messages/send', { body: { receiver_id: this.peer.id, content: text }, key })
      : authorizedRequest('POST', '/api/chat/send', { body: { content: text }, key });
  }

  // The user's own message may arrive live before the answer to its request: hides the draft, so that it shows once.
  #hideDraft({ text }) {
    for (const row of this.drafts.children) {
      if (row.hidden || row.draft.text !== text || !row.classList.contains('waiting')) continue;
      row.hidden = true;
      return;
    }
  }
}

// ── The login form ──

const loginView = {
  registering: false,

  open(message) {
    byId('chat').hidden = true;
    byId('login').hidden = false;
    document.body.dataset.state = 'login';
    this.showError(message);
    this.translate();
    byId('login').querySelector('[name=username]').focus();
  },

  showError(message) {
    byId('login-error').textContent = message ?? '';
    byId('login-error').hidden = !message;
  },

  translate() {
    const { registering } = this;
    byId('login-title').textContent = t(registering ? 'registerTitle' : 'loginTitle');
    byId('login-name').textContent = t(registering ? 'registerName' : 'loginName');
    byId('login-submit').textContent = t(registering ? 'register' : 'login');
    byId('login-switch').textContent = t(registering ? 'toLogin' : 'toRegister');
    byId('login-email').hidden = !registering;
    byId('login-rule').hidden = !registering;
    const form = byId('login').firstElementChild;
    form.elements.email.required = registering;
    form.elements.password.autocomplete = registering ? 'new-password' : 'current-password';
  },

  async submit(form) {
    const { username, password, email } = Object.fromEntries(new FormData(form));
    const path = this.registering ? '/api/auth/register' : '/api/auth/login';
    const body = this.registering ? { username: username.trim(), password, email } : { username: username.trim(), password };
    this.showError(null);
    byId('login-submit').disabled = true;
    try {
      const { token, user } = await request('POST', path, { body, bare: true });
      account.keep(token);
      form.reset();
      this.registering = false;
      enter(user);
    } catch (error) {
      this.showError(error.message);
    } finally {
      byId('login-submit').disabled = false;
    }
  },
};

// ── The chat of one user who is logged in ──

class ChatView {
  #connection = null;
  #complete = false; // The lobby has no gap before the newest live message.
  #attempts = 0;
  #retryTimer = null;
  #threads = new Map(); // conversation → Thread
  #unread = 0;
  #state = null;
  #connectingTimer = null;

  constructor(me) {
    this.me = me;
    this.lobby = new Thread(me);
    this.open = this.lobby;
    this.onlineUsers = [];
    this.count = null;
    this.conversations = [];
    this.fetchOnlineUsers = throttled(() => this.#fetchOnlineUsers());
    this.fetchConversations = throttled(() => this.#fetchConversations());
    byId('own-name').textContent = me.name;
    byId('own-name').title = `@${me.username}`;
    byId('login').hidden = true;
    byId('chat').hidden = false;
    this.show(this.lobby);
    this.translate();
    this.connect();
    // The list can change while the count stays the same.
    this.timer = setInterval(() => this.fetchOnlineUsers(), 60_000);
  }

  // Ends everything that belongs to this user in the page.
  close() {
    clearInterval(this.timer);
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#connectingTimer);
    this.#connection?.leave();
    this.#connection = null;
    chat = null;
    document.title = t('name');
    for (const id of ['scroll', 'online', 'conversations', 'toasts']) byId(id).replaceChildren();
    byId('compose').reset();
  }

  translate() {
    for (const thread of [this.lobby, ...this.#threads.values()]) thread.translate();
    this.#title();
    this.#listOnlineUsers();
    this.#listConversations();
    if (this.#state) this.showState(...this.#state);
    this.measure();
  }

  // ── Connecting ──

  connect() {
    clearTimeout(this.#retryTimer);
    this.#connection?.leave();
    if (!this.#reconnecting) this.showState('connecting');
    this.#complete = false;
    const connection = new Connection(account.token, {
      live: () => {
        if (connection === this.#connection) this.#onLive(connection);
      },
      envelope: (type, data) => {
        if (connection === this.#connection) this.#receive(type, data);
      },
      ended: (end) => {
        if (connection === this.#connection) this.#onEnded(end);
      },
    });
    this.#connection = connection;
  }

  // The session is live from now on: fetches everything that it missed.
  async #onLive(connection) {
    this.fetchConversations();
    this.fetchOnlineUsers();
    try {
      await this.lobby.fill();
      if (connection !== this.#connection) return;
      this.#complete = true;
      if (this.open !== this.lobby) await this.#readOpen();
    } catch {
      // The socket works and the store does not answer: reconnect later.
      if (connection === this.#connection) {
        connection.leave();
        this.#onEnded({ code: 1013, reason: '', opened: true, stableMs: 0 });
      }
      return;
    }
    if (connection !== this.#connection) return;
    this.showState('live');
    this.#keepAtEnd();
  }

  async #onEnded({ code, reason, opened, stableMs }) {
    this.#connection = null;
    this.#complete = false;
    if (code === 4501) return this.showState('elsewhere', 'useHere');
    if (code === 1008 || code === 1002 || reason.includes('Unauthorized')) return this.showState('ended', 'connectAgain');
    if (stableMs >= STABLE_MS) this.#attempts = 0;
    // Jitter over the whole range, so that clients do not reconnect at the same time after a restart.
    const longest = Math.min(RETRY_MAX_MS, 2 * RETRY_MIN_MS * 2 ** this.#attempts);
    this.#attempts += 1;
    this.showState('lost', 'tryNow');
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.connect(), RETRY_MIN_MS + Math.random() * (longest - RETRY_MIN_MS));
    if (opened || this.#attempts < 3) return;
    // A browser hides why a socket did not open. If the token is the reason, this request renews it or shows the login form.
    const answered = await authorizedRequest('GET', '/api/auth/me').catch(() => null);
    if (answered && chat === this && this.#state?.[0] === 'lost') this.showState('noSocket', 'tryNow');
  }

  // The action of the connection state's button.
  async runStateAction() {
    this.#attempts = 0;
    if (this.#state[0] === 'ended') await this.renew().catch((error) => chat === this && toast(error.message, 'error'));
    if (chat === this) this.connect();
  }

  wake() {
    if (this.#connection) this.#connection.probe(PROBE_TIMEOUT_MS);
    else if (this.#reconnecting) this.connect();
  }

  // Whether the page is disconnected and reconnects by itself.
  get #reconnecting() {
    return this.#state?.[0] === 'lost' || this.#state?.[0] === 'noSocket';
  }

  // Gets a new token with the refresh cookie. The cookie may belong to another account now (a login in another tab): then
  // this user is logged out here, and the other one sees nothing of this chat.
  async renew() {
    const refuse = (message) => {
      logOut(message);
      throw new RequestError(401, message);
    };
    try {
      await account.refresh();
      const me = await request('GET', '/api/auth/me');
      if (me.id !== this.me.id) refuse(t('loginAgain'));
    } catch (error) {
      if (error.status === 401 && chat === this) refuse(t('loginAgain'));
      throw error;
    }
  }

  showState(state, action) {
    this.#state = [state, action];
    document.body.dataset.state = state;
    clearTimeout(this.#connectingTimer);
    // Connecting is usually instant; the notice appears only when it takes longer.
    byId('state').hidden = state === 'live' || state === 'connecting';
    if (state === 'connecting') this.#connectingTimer = setTimeout(() => (byId('state').hidden = false), CONNECTING_NOTICE_MS);
    byId('state-text').textContent = state === 'live' ? '' : t(state);
    byId('state-action').hidden = !action;
    byId('state-action').textContent = action ? t(action) : '';
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
        this.#listOnlineUsers();
        this.fetchOnlineUsers();
        break;
      case 'private_message':
        this.#onPrivateMessage(data.message);
        break;
      case 'message_read':
        if (data.reader_id !== this.me.id) this.#threads.get(data.conversation_id)?.markRead();
        break;
      case 'notification':
        // The state line shows a displaced session, with its button.
        if (data.code !== 'displaced') toast(data.message, data.level === 'error' ? 'error' : 'info');
        break;
      default:
      // Answers to heartbeats, and events of the site's backend for its own pages.
    }
  }

  #onPrivateMessage(message) {
    const thread = this.#threads.get(message.conversation_id);
    if (thread) thread.live(message, false);
    if (thread && thread === this.open && isThreadVisible()) {
      this.#arrived(thread, message.sender.id);
      authorizedRequest('POST', `/api/conversations/${message.conversation_id}/mark-read`)
        .catch(() => {}) // Opening the conversation marks it again.
        .then(() => this.fetchConversations());
      return;
    }
    if (thread) thread.stale = true;
    const { name } = toUser(message.sender);
    toast(t('says', name, message.content.length > 80 ? `${message.content.slice(0, 80)}…` : message.content));
    this.fetchConversations();
  }

  // ── Who is online ──

  async #fetchOnlineUsers() {
    if (chat !== this) return;
    if (this.count > LISTED_USERS_MAX) {
      this.onlineUsers = [];
    } else {
      const { users } = await authorizedRequest('GET', '/api/chat/online-users');
      this.onlineUsers = users.map((user) => toUser({ ...user, id: user.user_id }));
    }
    if (chat === this) this.#listOnlineUsers();
  }

  #listOnlineUsers() {
    for (const element of all('.online-count')) element.textContent = this.count === null ? '' : this.count;
    byId('crowd').hidden = !(this.count > LISTED_USERS_MAX);
    const own = ({ id }) => id === this.me.id;
    const sorted = [...this.onlineUsers].sort((a, b) => own(b) - own(a) || a.name.localeCompare(b.name, language));
    this.#list(byId('online'), sorted, ({ id }) => id, (user) => {
      const text = createElement('span', { className: 'text' }, createElement('span', { textContent: user.name }));
      if (own(user)) text.append(createElement('small', { textContent: t('you') }));
      const tag = own(user) ? 'div' : 'button';
      const entry = createElement(tag, { className: 'entry', title: `@${user.username}` }, avatar(user), text);
      if (!own(user)) entry.onclick = () => this.writeTo(user);
      return entry;
    });
  }

  // Redraws a list and keeps the keyboard focus.
  #list(list, entries, keyOf, draw) {
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    list.replaceChildren(
      ...entries.map((entry) => {
        const element = draw(entry);
        element.dataset.key = keyOf(entry);
        return createElement('li', {}, element);
      }),
    );
    if (focused !== null) list.querySelector(`[data-key="${focused}"]`)?.focus();
  }

  // ── Private conversations ──

  async #fetchConversations() {
    if (chat !== this) return;
    const { conversations, total_unread } = await authorizedRequest('GET', '/api/conversations');
    if (chat !== this) return;
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
      const peer = toUser(entry.other_user);
      const text = createElement('span', { className: 'text' }, createElement('span', { className: 'name', textContent: peer.name }));
      if (entry.last_message) text.append(createElement('small', { textContent: entry.last_message }));
      const button = createElement('button', { className: 'entry' }, avatar(peer), text);
      if (entry.unread_count > 0) {
        const badge = createElement('span', { className: 'badge', textContent: entry.unread_count });
        badge.ariaLabel = t('unread', entry.unread_count);
        button.append(badge);
      }
      if (this.open.conversation === entry.id) button.ariaCurrent = 'true';
      button.onclick = () => this.showConversation(entry.id, peer);
      return button;
    });
  }

  async writeTo(user) {
    try {
      const { conversation_id } = await authorizedRequest('POST', `/api/conversations/start/${user.id}`);
      if (chat === this) this.showConversation(conversation_id, user);
    } catch (error) {
      toast(error.message, 'error');
    }
  }

  showConversation(conversation, peer) {
    let thread = this.#threads.get(conversation);
    if (!thread) {
      thread = new Thread(this.me, { peer, conversation });
      this.#threads.set(conversation, thread);
    }
    this.show(thread);
    this.#readOpen().catch((error) => toast(error.message, 'error'));
  }

  // Fetching a conversation marks it as read, so this fetches only while the thread is visible.
  async #readOpen() {
    const thread = this.open;
    if (thread === this.lobby) return;
    thread.stale = true;
    if (!isThreadVisible()) return;
    await thread.fill();
    thread.stale = false;
    if (chat !== this) return;
    this.#keepAtEnd();
    this.fetchConversations();
  }

  onVisible() {
    if (this.open.stale) this.#readOpen().catch(() => {}); // It stays stale until the next call.
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

  // After rows were added or grew: keeps the end in view, if it was in view.
  #keepAtEnd() {
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
    const sent = thread.send(text);
    this.#toEnd();
    sent.then(() => {
      if (chat !== this) return;
      if (this.open === thread) this.#keepAtEnd();
      if (thread.peer) this.fetchConversations();
    });
  }
}

let chat = null;

function enter(user) {
  const nickname = user.nickname || user.profile?.nickname;
  chat?.close();
  chat = new ChatView(toUser({ ...user, nickname }));
}

function logOut(message) {
  chat?.close();
  account.forget();
  loginView.open(message);
}

// Whether the open thread is visible: not in a hidden tab, and not behind another pane of a narrow page.
const isThreadVisible = () => document.visibilityState === 'visible' && byId('scroll').getClientRects().length > 0;

function pane(name) {
  byId('chat').dataset.pane = name;
  for (const button of all('#tabs button')) button.ariaPressed = String(button.dataset.pane === name);
  if (name === 'people') chat?.fetchOnlineUsers();
  if (name === 'talk') chat?.onVisible();
}

async function start() {
  translate();
  try {
    if (!account.token && localStorage.getItem(RETURNING)) await account.refresh();
    if (!account.token) return loginView.open();
    let me;
    try {
      me = await request('GET', '/api/auth/me');
    } catch (error) {
      if (error.status !== 401) throw error;
      await account.refresh();
      me = await request('GET', '/api/auth/me');
    }
    enter(me);
  } catch (error) {
    if (error.status === 401) account.forget();
    loginView.open(error.message);
  }
}

for (const button of all('.language')) {
  button.onclick = () => {
    language = language === 'zh' ? 'en' : 'zh';
    localStorage.setItem('teahouse.language', language);
    translate();
  };
}
for (const button of all('#tabs button')) button.onclick = () => pane(button.dataset.pane);
byId('login').firstElementChild.onsubmit = (event) => {
  event.preventDefault();
  loginView.submit(event.target);
};
byId('login-switch').onclick = () => {
  loginView.registering = !loginView.registering;
  loginView.showError(null);
  loginView.translate();
};
byId('logout').onclick = async () => {
  const loggingOut = request('POST', '/api/auth/logout');
  localStorage.setItem(LOGGED_OUT, `${chat.me.id} ${Date.now()}`);
  logOut();
  await loggingOut.catch((error) => error.status !== 401 && toast(error.message, 'error'));
};
byId('state-action').onclick = () => chat?.runStateAction();
byId('lobby').onclick = () => chat?.show(chat.lobby);
byId('newer').onclick = () => chat?.toEnd();
byId('scroll').onscroll = () => chat?.scrolled();
byId('compose').onsubmit = (event) => {
  event.preventDefault();
  chat?.submit();
};
byId('compose').elements.content.oninput = () => chat?.measure();
byId('compose').elements.content.onkeydown = (event) => {
  // Enter that confirms an input method's composition does not send (Safari reports keyCode 229).
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  chat?.submit();
};
addEventListener('online', () => chat?.wake());
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState !== 'visible') return;
  chat?.wake();
  chat?.onVisible();
});
// A logout in another tab logs the same user out here.
addEventListener('storage', ({ key, newValue }) => {
  if (key === LOGGED_OUT && chat && newValue?.startsWith(`${chat.me.id} `)) logOut();
});

start();
