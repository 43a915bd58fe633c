// The wire of Teahouse: the v1 dialect, and the bodies of every HTTP route. docs/protocol.md says what it means.
// `make types` generates this file from crates/protocol: change it there.

/** The subprotocol to offer when the WebSocket is opened. */
export const SUBPROTOCOL = 'teahouse.v1';

/** The codes of errors: the HTTP status, and whether a retry of the same request can succeed. */
export const ERROR_CODES = {
  /** The request is malformed. */
  bad_request: { status: 400, retryHelps: false },
  /** Unknown request type. */
  unknown_type: { status: 400, retryHelps: false },
  /** Please log in. */
  unauthorized: { status: 401, retryHelps: false },
  /** You are not allowed to do this. */
  forbidden: { status: 403, retryHelps: false },
  /** Not found. */
  not_found: { status: 404, retryHelps: false },
  /** Method not allowed. */
  method_not_allowed: { status: 405, retryHelps: false },
  /** This text is too long. */
  too_long: { status: 422, retryHelps: false },
  /** The message is empty. */
  empty: { status: 422, retryHelps: false },
  /** Upgrade to WebSocket required. */
  upgrade_required: { status: 426, retryHelps: false },
  /** Too fast: please wait a moment. */
  rate_limited: { status: 429, retryHelps: true },
  /** You are muted. */
  muted: { status: 403, retryHelps: true },
  /** This is already taken. */
  conflict: { status: 409, retryHelps: false },
  /** The server is busy: please try again. */
  overloaded: { status: 503, retryHelps: true },
  /** Internal server error. */
  internal: { status: 500, retryHelps: true },
} as const;

/** The stable code of an error. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** The close codes of the server. */
export const CloseCode = {
  /** Done */
  Done: 1000,
  /** Protocol error */
  ProtocolError: 1002,
  /** Binary frames are not supported */
  Binary: 1003,
  /** Text is not UTF-8 */
  NotUtf8: 1007,
  /** Policy violation */
  Policy: 1008,
  /** Message over 64 KiB */
  TooLarge: 1009,
  /** Internal error */
  Internal: 1011,
  /** Server restart */
  Restart: 1012,
  /** Server overloaded: try again later */
  Overloaded: 1013,
  /** Write timeout */
  Stalled: 4000,
  /** Ping timeout */
  NoSignOfLife: 4001,
  /** Hello timeout */
  NoHello: 4002,
  /** Token expired: get a new one, then reconnect */
  Expired: 4101,
  /** Unauthorized: connected elsewhere */
  Displaced: 4501,
  /** Disconnected by the site */
  Banned: 4502,
  /** Token revoked: log in again */
  Revoked: 4503,
  /** Too many malformed envelopes */
  Malformed: 4504,
} as const;
export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

/**
 * Whether a client reconnects by itself. With a code that is not here, it does from 4000 to 4499, and does not from
 * 4500 to 4999.
 */
export const CLOSE_CODES: Record<CloseCode, { reconnect: boolean }> = {
  1000: { reconnect: false },
  1002: { reconnect: false },
  1003: { reconnect: false },
  1007: { reconnect: false },
  1008: { reconnect: false },
  1009: { reconnect: false },
  1011: { reconnect: true },
  1012: { reconnect: true },
  1013: { reconnect: true },
  4000: { reconnect: true },
  4001: { reconnect: true },
  4002: { reconnect: true },
  4101: { reconnect: true },
  4501: { reconnect: false },
  4502: { reconnect: false },
  4503: { reconnect: false },
  4504: { reconnect: false },
};

// ── Requests ──

/** Starts a session, within 10 s of the handshake. `welcome` is the response; there is no `ack`. */
export interface HelloRequest {
  /** The client's name and version, for the operator. */
  client?: string | null;
  /** The epoch of `rooms`; absent on a first visit. */
  epoch?: string | null;
  /** The rooms that the client holds, the most wanted first; absent on a first visit. */
  rooms?: HeldRoom[] | null;
}

/** Sends a message to a room. */
export interface MessageRequest {
  /** The room. */
  room: number;
  /** The text: 1 to 4000 characters (Unicode scalar values) after trimming. */
  content: string;
  /** The client's own reference. The server stores a message once, however often the client sends it. */
  client_id: string;
  /** The message of the same room to which this one replies. */
  reply_to?: number | null;
}

/** Replaces the content of the caller's own message. */
export interface EditRequest {
  /** The message. */
  message: number;
  /** The text: 1 to 4000 characters (Unicode scalar values) after trimming. */
  content: string;
}

/** Deletes a message: the caller's own, or as a moderator. */
export interface DeleteRequest {
  /** The message. */
  message: number;
}

/** Adds the caller's reaction to a message, or removes it. */
export interface ReactRequest {
  /** The message. */
  message: number;
  /** The emoji; at most 64 bytes. */
  emoji: string;
  /** Whether to add it. */
  on: boolean;
}

/** Moves the caller's read mark of a room forward; it never goes back. */
export interface ReadRequest {
  /** The room. */
  room: number;
  /** The seq of the last message that the caller read. */
  seq: number;
}

/** Reads a page of a room's messages: the newest, or those around a seq. Moves no cursor. */
export interface HistoryRequest {
  /** The room. */
  room: number;
  /** The oldest messages above this seq. */
  after?: number | null;
  /** The messages on both sides of this seq. */
  around?: number | null;
  /** The newest messages below this seq. */
  before?: number | null;
  /** The size of the page; 50 when absent, and more than 100 is 100. */
  limit?: number | null;
}

/** Asks again for a room's changes since a version. The `ack` follows the `caught_up`. */
export interface SyncRequest {
  /** The room. */
  room: number;
  /** The last version of it that the client applied. */
  since: number;
}

/** Asks who is online in a room, and subscribes to changes of it or unsubscribes. */
export interface PresenceRequest {
  /** The room. */
  room: number;
  /** Whether to subscribe. */
  on: boolean;
}

/** Tells a room that the caller is typing, or stopped. Expires after 5 s. */
export interface TypingRequest {
  /** The room. */
  room: number;
  /** Whether the caller is typing. */
  on: boolean;
}

/** Lists public rooms that the caller could join. */
export interface RoomsRequest {
  /** The `next` of the page before. */
  after?: number | null;
  /** A part of the name or the title; every room matches when absent. */
  query?: string | null;
}

/** Lists the caller's direct rooms, the newest message first. */
export interface DirectsRequest {
  /** The `next` of the page before. */
  after?: string | null;
}

/** Creates a room, which the caller owns. */
export interface CreateRequest {
  /** Who may be in it. */
  kind: MadeRoomKind;
  /** Its unique name, which a room needs. */
  name: string;
  /** Its heading; may be empty. */
  title?: string | null;
}

/** Changes a room's name or title; what is absent stays as it is. */
export interface UpdateRequest {
  /** The room. */
  room: number;
  /** Its unique name. */
  name?: string | null;
  /** Its heading; may be empty. */
  title?: string | null;
}

/** Joins a public room. The read mark starts at its newest message. */
export interface JoinRequest {
  /** The room. */
  room: number;
}

/** Leaves a room. */
export interface LeaveRequest {
  /** The room. */
  room: number;
}

/** Adds a user to a room; the invite of a stranger waits for an answer. */
export interface InviteRequest {
  /** The room. */
  room: number;
  /** The user. */
  user: number;
}

/** Accepts an invite to a room, or the request of a direct room. */
export interface AcceptRequest {
  /** The room. */
  room: number;
}

/** Declines an invite to a room, or the request of a direct room. Nobody else learns of it. */
export interface DeclineRequest {
  /** The room. */
  room: number;
}

/** Removes a user from a room. */
export interface RemoveRequest {
  /** The room. */
  room: number;
  /** The user. */
  user: number;
}

/** Gives a member of a room a role. */
export interface RoleRequest {
  /** The room. */
  room: number;
  /** The user. */
  user: number;
  /** The role. */
  role: Role;
}

/** Opens the direct room with a user, and creates it if there is none. */
export interface OpenRequest {
  /** The user. */
  user: number;
}

/** Lists the members of a room. */
export interface MembersRequest {
  /** The room. */
  room: number;
  /** The `next` of the page before. */
  after?: number | null;
}

/** Searches users. */
export interface UsersRequest {
  /** The `next` of the page before. */
  after?: number | null;
  /** The beginning of the username or the nickname. */
  query?: string | null;
}

/** Presents a fresh token of the same user, so that the session outlives the old one. */
export interface AuthRequest {
  /** The token. */
  token: string;
}

/** A sign of life, whose response is the server's time. */
export type HeartbeatRequest = Record<string, never>;

/** The `data` of every request, by its type. */
export interface RequestData {
  hello: HelloRequest;
  message: MessageRequest;
  edit: EditRequest;
  delete: DeleteRequest;
  react: ReactRequest;
  read: ReadRequest;
  history: HistoryRequest;
  sync: SyncRequest;
  presence: PresenceRequest;
  typing: TypingRequest;
  rooms: RoomsRequest;
  directs: DirectsRequest;
  create: CreateRequest;
  update: UpdateRequest;
  join: JoinRequest;
  leave: LeaveRequest;
  invite: InviteRequest;
  accept: AcceptRequest;
  decline: DeclineRequest;
  remove: RemoveRequest;
  role: RoleRequest;
  open: OpenRequest;
  members: MembersRequest;
  users: UsersRequest;
  auth: AuthRequest;
  heartbeat: HeartbeatRequest;
}

/** The `data` of every request's `ack`; the response to `hello` is `welcome`. */
export interface AckData {
  message: Stored;
  edit: Changed;
  delete: Changed;
  react: Changed;
  read: Marked;
  history: History;
  sync: Changed;
  presence: PresenceNow | Nothing;
  typing: Nothing;
  rooms: RoomCards;
  directs: Directs;
  create: Room;
  update: Room;
  join: Room;
  leave: Room;
  invite: Room;
  accept: Room;
  decline: Nothing;
  remove: Room;
  role: Room;
  open: Room;
  members: Members;
  users: Users;
  auth: Renewed;
  heartbeat: Beat;
}

// ── Events and responses ──

/** The `data` of every event, by its type. */
export interface EventData {
  catch_up: CatchUp;
  caught_up: CaughtUp;
  message: Message;
  change: ReactionsChange;
  read: Read;
  typing: Typing;
  presence: Presence;
  online_count: OnlineCount;
  room: Room;
  removed: Removed;
  invited: Invite;
  user: Person;
  system: System;
  goodbye: Goodbye;
}

/** A request. To one with an `id`, the server responds exactly once, with the same `id`. */
export type ClientEnvelope = {
  [Type in keyof RequestData]: { type: Type; id?: string; data: RequestData[Type] };
}[keyof RequestData];

/** An event, which answers no request. */
export type EventEnvelope = {
  [Type in keyof EventData]: { type: Type; data: EventData[Type] };
}[keyof EventData];

/** The response to `hello`, with its `id`. */
export interface WelcomeEnvelope {
  type: 'welcome';
  id?: string;
  data: Welcome;
}

/** The request of this `id` succeeded. Only the response to a `heartbeat` may have no `id`. */
export interface AckEnvelope<Type extends keyof AckData = keyof AckData> {
  type: 'ack';
  id?: string;
  data: AckData[Type];
}

/** The server refused the request of this `id`, and did nothing of it. */
export interface ErrorEnvelope {
  type: 'error';
  id?: string;
  data: Refusal;
}

/** Every envelope from the server, except for those that a site's backend publishes. */
export type ServerEnvelope = EventEnvelope | WelcomeEnvelope | AckEnvelope | ErrorEnvelope;

/** An envelope that a site's backend publishes. Its type is none of the server's own. */
export interface PublishedEnvelope {
  type: string;
  data: Record<string, unknown>;
}

// ── HTTP ──

/** Every HTTP route: the parameters of its query, its body, and the `data` of its response. */
export interface Routes {
  'POST /api/auth/register': { query: null; body: Register; data: LoggedIn };
  'POST /api/auth/login': { query: null; body: Login; data: LoggedIn };
  'POST /api/auth/refresh': { query: null; body: null; data: Refreshed };
  'POST /api/auth/logout': { query: null; body: null; data: Done };
  'GET /api/auth/me': { query: null; body: null; data: OwnAccount };
  'PUT /api/auth/me': { query: null; body: ProfileUpdate; data: OwnAccount };
  'POST /api/auth/change-password': { query: null; body: ChangePassword; data: Done };
  'GET /api/user/{id}': { query: null; body: null; data: PublicUser };
  'POST /api/chat/send': { query: null; body: LobbyMessage; data: Sent };
  'GET /api/chat/messages': { query: { limit?: number; before_id?: number }; body: null; data: ChatPage };
  'GET /api/chat/messages/new': { query: { after_id?: number; limit?: number }; body: null; data: ChatPage };
  'DELETE /api/chat/messages/{id}': { query: null; body: null; data: null };
  'GET /api/chat/online-count': { query: null; body: null; data: OnlineTotal };
  'GET /api/chat/online-users': { query: null; body: null; data: OnlineUsers };
  'GET /api/conversations': { query: null; body: null; data: Conversations };
  'GET /api/conversations/unread-count': { query: null; body: null; data: UnreadCount };
  'POST /api/conversations/start/{userId}': { query: null; body: null; data: Started };
  'GET /api/conversations/{id}/messages': { query: { limit?: number; before_id?: number }; body: null; data: ConversationPage };
  'POST /api/conversations/{id}/mark-read': { query: null; body: null; data: null };
  'POST /api/messages/send': { query: null; body: PrivateMessageDraft; data: PrivateSent };
  'GET /api/v1/rooms': { query: null; body: null; data: OwnRooms };
  'GET /api/v1/rooms/{room}': { query: null; body: null; data: Room };
  'POST /api/server/publish': { query: null; body: Publication; data: Done };
  'POST /api/server/rooms/{id}/messages': { query: null; body: Post; data: Posted };
  'POST /api/server/users': { query: null; body: SiteUser | SiteUser[]; data: SiteUsers };
  'POST /api/server/disconnect': { query: null; body: Disconnect; data: Done };
  'GET /api/server/presence': { query: { user_ids: number[] }; body: null; data: OnlineNow };
  'POST /api/v1/rooms': { query: null; body: CreateRequest; data: Room };
  'GET /api/v1/rooms/browse': { query: RoomsRequest; body: null; data: RoomCards };
  'GET /api/v1/directs': { query: DirectsRequest; body: null; data: Directs };
  'PATCH /api/v1/rooms/{room}': { query: null; body: Omit<UpdateRequest, 'room'>; data: Room };
  'POST /api/v1/rooms/{room}/join': { query: null; body: null; data: Room };
  'POST /api/v1/rooms/{room}/leave': { query: null; body: null; data: Room };
  'GET /api/v1/rooms/{room}/members': { query: Omit<MembersRequest, 'room'>; body: null; data: Members };
  'PUT /api/v1/rooms/{room}/members/{user}': { query: null; body: null; data: Room };
  'POST /api/v1/rooms/{room}/accept': { query: null; body: null; data: Room };
  'POST /api/v1/rooms/{room}/decline': { query: null; body: null; data: Nothing };
  'DELETE /api/v1/rooms/{room}/members/{user}': { query: null; body: null; data: Room };
  'PUT /api/v1/rooms/{room}/members/{user}/role': { query: null; body: Omit<RoleRequest, 'room' | 'user'>; data: Room };
  'GET /api/v1/rooms/{room}/messages': { query: Omit<HistoryRequest, 'room'>; body: null; data: History };
  'POST /api/v1/rooms/{room}/messages': { query: null; body: Omit<MessageRequest, 'room' | 'client_id'> & { client_id?: string }; data: Stored };
  'POST /api/v1/rooms/{room}/read': { query: null; body: Omit<ReadRequest, 'room'>; data: Marked };
  'GET /api/v1/rooms/{room}/changes': { query: Omit<SyncRequest, 'room'>; body: null; data: Changes };
  'GET /api/v1/rooms/{room}/presence': { query: null; body: null; data: PresenceNow };
  'PATCH /api/v1/messages/{message}': { query: null; body: Omit<EditRequest, 'message'>; data: Changed };
  'DELETE /api/v1/messages/{message}': { query: null; body: null; data: Changed };
  'PUT /api/v1/messages/{message}/reactions/{emoji}': { query: null; body: null; data: Changed };
  'DELETE /api/v1/messages/{message}/reactions/{emoji}': { query: null; body: null; data: Changed };
  'GET /api/v1/users': { query: UsersRequest; body: null; data: Users };
  'POST /api/v1/users/{user}/direct': { query: null; body: null; data: Room };
}

// ── Schemas ──

/** The caller's own account. */
export interface Account {
  id: number;
  username: string;
  email: string;
  auth_status: number;
  account_status: number;
  avatar: string;
  nickname: string;
  bio: string;
  role: UserRole;
}

/** `heartbeat`: the time. */
export interface Beat {
  /** The server's time. */
  time: string;
}

/** Catching up starts: the room's messages that follow, up to `caught_up`, changed after version `from`. */
export interface CatchUp {
  /** The room. */
  room: number;
  /** The version before the changes that follow. */
  from: number;
  /** The client drops what it holds of the room; the newest messages follow. */
  reset: boolean;
}

/** Catching up ends: the client holds the room at this version, and live envelopes continue from there. */
export interface CaughtUp {
  /** The room. */
  room: number;
  /** The client's cursor. */
  version: number;
  /** The caller's own reactions to these messages: the emoji, by message id. */
  my_reactions: Record<string, string[]>;
}

/** A change that brings the whole message. */
export type Change =
  | { kind: 'new' }
  | { kind: 'edit'; user: number }
  | { kind: 'delete'; user: number };

/** `POST /api/auth/change-password`. */
export interface ChangePassword {
  /** The password that is valid now. */
  currentPassword: string;
  /** The new password: at least one letter and one digit. */
  newPassword: string;
}

/** `edit`, `delete`, `react`: the version that the change took. */
export interface Changed {
  /** A version of the room. A request that changes nothing gets the current version of the message. */
  version: number;
}

/** `GET …/changes`: a room's changes since a version, as many as fit into one response. */
export interface Changes {
  /** The epoch: the name of this history. State of another epoch is worthless. */
  epoch: string;
  /** The client drops what it holds of the room; these are its newest messages. */
  reset: boolean;
  /** In the order of versions, each in its current state, with deleted ones. */
  messages: Message[];
  /** The room's version after these changes: `since` of the next request. */
  version: number;
  /** Whether there are more: the client requests again. Never after a reset, which is whole. */
  more: boolean;
  /** The caller's own reactions to these messages: the emoji, by message id. */
  my_reactions: Record<string, string[]>;
}

/** A lobby message, live or from history. It has no place for an IP address (docs/internals/regressions.md, H11). */
export interface ChatMessage {
  id: number;
  user_id: number;
  username: string;
  nickname: string;
  avatar: string;
  content: string;
  message_type: number;
  send_time: string;
  status: number;
  created_at: string;
}

/** `GET /api/chat/messages` and `/new`: a page of the lobby. */
export interface ChatPage {
  messages: ChatMessage[];
  has_more: boolean;
}

/** A conversation, as one of its two users sees it in their list. */
export interface Conversation {
  id: number;
  other_user: Person;
  last_message: string;
  last_message_time: string | null;
  unread_count: number;
  created_at: string;
}

/** `GET /api/conversations/:id/messages`. */
export interface ConversationPage {
  messages: PrivateMessage[];
  total: number;
}

/** `GET /api/conversations`. */
export interface Conversations {
  conversations: Conversation[];
  total_unread: number;
}

/** `directs`: a page of the caller's direct rooms. */
export interface Directs {
  /** Requests last, and the newest message first. */
  rooms: Room[];
  /** `after` of the next page; null on the last page. */
  next: string | null;
}

/** `POST /api/server/disconnect`. */
export interface Disconnect {
  /** The user whose sessions end. */
  user_id: number;
  /** The reason in the close frame, at most 100 bytes; the server's own when absent or empty. */
  reason?: string | null;
}

/** The response of a request that has no result but its success. */
export interface Done {
  ok: true;
}

/** The server is about to close the socket. */
export interface Goodbye {
  /** The code of the close frame that follows. */
  code: number;
  /** Its reason. */
  reason: string;
  /** Whether the client should reconnect by itself. */
  reconnect: boolean;
  /** The delay before this client reconnects; 0 when it should not. */
  retry_ms: number;
}

/** `GET /health` and `/ready`: the state of each part. */
export interface Health {
  /** One word for all of it. */
  status: 'ok' | 'ready' | 'unavailable';
  /** Whether the store accepts writes. */
  store: 'ok' | 'failing';
  /** Whether every shard of the hub responds. */
  hub: 'ok' | 'failing';
  /** Whether the server is shutting down. */
  draining: boolean;
}

/** A room that a returning client holds. */
export interface HeldRoom {
  /** The room. */
  room: number;
  /** The last version of it that the client applied. */
  version: number;
}

/** `history`: a page of a room, oldest first. */
export interface History {
  /** Oldest first, with deleted ones. */
  messages: Message[];
  /** Whether there are older messages. */
  has_more_before: boolean;
  /** Whether there are newer messages. */
  has_more_after: boolean;
  /** The caller's own reactions to these messages: the emoji, by message id. */
  my_reactions: Record<string, string[]>;
}

/** A stranger's invite to a room, which waits for an answer. */
export interface Invite {
  /** The room. */
  room: InvitedRoom;
  /** The member who invites. */
  inviter: Person;
  /** The time of the invite. */
  time: string;
}

/** A room as a user sees it who is invited to it. */
export interface InvitedRoom {
  /** The room. */
  id: number;
  /** Who may join it. */
  kind: RoomKind;
  /** Its unique name. */
  name: string;
  /** The heading; may be empty. */
  title: string;
  /** The number of members. */
  members: number;
}

/** The limits of this server, in `welcome`. */
export interface Limits {
  /** Characters (Unicode scalar values) of a message. */
  content_chars_max: number;
  /** Bytes of a frame. */
  frame_bytes_max: number;
  /** Messages per second. */
  sends_per_second: number;
  /** Messages in a burst. */
  sends_burst: number;
  /** Other envelopes per second. */
  envelopes_per_second: number;
  /** Other envelopes in a burst. */
  envelopes_burst: number;
  /** Messages in a page of history. */
  history_messages_max: number;
}

/** `GET /live`: the process answers. */
export interface Liveness {
  /** Always `ok`. */
  status: string;
}

/** `POST /api/chat/send`. */
export interface LobbyMessage {
  /** The text, measured after trimming. */
  content: string;
}

/** `POST /api/auth/register` and `/api/auth/login`. */
export interface LoggedIn {
  token: string;
  user: Account;
}

/** `POST /api/auth/login`. */
export interface Login {
  /** The username or the e-mail address. */
  username: string;
  /** The password. */
  password: string;
}

/** The kinds of rooms that users create; direct rooms are opened. */
export type MadeRoomKind = 'public' | 'private';

/** `read`: the read mark after the request. */
export interface Marked {
  /** The seq of the last message that the caller read. */
  read_seq: number;
  /** Messages of others above it, without deleted ones, capped at 999. */
  unread: number;
}

/** A member of a room. */
export interface Member {
  /** The user's id. */
  id: number;
  /** The unique name. */
  username: string;
  /** The display name. */
  nickname: string;
  /** A picture's address, or empty. */
  avatar: string;
  /** Their role in it. */
  role: Role;
}

/** `members`: a page of a room's members. */
export interface Members {
  /** In the order of their ids. */
  members: Member[];
  /** `after` of the next page; null on the last page. */
  next: number | null;
}

/** A message in its current state. */
export interface Message {
  /** Unique over all rooms; the same number in both dialects. */
  id: number;
  /** The room. */
  room: number;
  /** Its place in the room: 1, 2, 3 … in order of commit. */
  seq: number;
  /** The version of the room with its last change. */
  version: number;
  /** The sender's own reference. */
  client_id: string | null;
  /** The sender, with the current name. */
  sender: Person;
  /** The text; empty in a deleted message. */
  content: string;
  /** Whether it comes from a user or is a notice of the site. */
  kind: MessageKind;
  /** The message of the same room to which this one replies. */
  reply_to: number | null;
  /** The members that it mentions with `@username`, in the order of their ids. */
  mentions: number[];
  /** The number of reactions, by emoji. */
  reactions: Record<string, number>;
  /** The time of the last edit. */
  edited_at: string | null;
  /** A deleted message keeps its seq, with empty content. */
  deleted: boolean;
  /** The time of the commit; never decreases within a room. */
  send_time: string;
  /** The change that this envelope reports; in live envelopes only. */
  change?: Change;
  /** Only in a room's `last_message`: the text goes on, and `history` has all of it. */
  cut?: boolean;
}

/** Whether a message comes from a user or is a notice of the site. */
export type MessageKind = 'text' | 'system';

/** The direct rooms that a list leaves out. */
export interface MoreDirects {
  /** Their number, counted up to 1,000. */
  rooms: number;
  /** The unread messages of the 1,000 newest of them without those of requests, capped at 999 in all. */
  unread: number;
  /** How many of them are requests, counted up to 1,000; absent when none is. */
  requests?: number;
}

/** The `data` of an `ack` that says nothing more. */
export type Nothing = Record<string, never>;

/** Distinct users online. */
export interface OnlineCount {
  /** The number of users. */
  count: number;
}

/** `GET /api/server/presence`: the users of the request who are online. */
export interface OnlineNow {
  online: number[];
}

/** `GET /api/chat/online-count`. */
export interface OnlineTotal {
  /** Distinct users online. */
  count: number;
}

/** One of the users online. */
export interface OnlineUser {
  user_id: number;
  username: string;
  nickname: string;
  avatar: string;
}

/** `GET /api/chat/online-users`. */
export interface OnlineUsers {
  users: OnlineUser[];
  count: number;
}

/** `GET` and `PUT /api/auth/me`: the caller's account with its profile. */
export interface OwnAccount {
  id: number;
  username: string;
  email: string;
  auth_status: number;
  account_status: number;
  avatar: string;
  nickname: string;
  bio: string;
  role: UserRole;
  profile: ProfilePart;
  created_at: string;
}

/** `GET /api/v1/rooms`, and a part of `welcome`: the rooms of the caller. */
export interface OwnRooms {
  /**
   * All public and private rooms, and of the direct ones the 200 with the newest messages and those that `hello`
   * named; in the order of their ids. A room that `hello` did not name is live from its `version` on.
   */
  rooms: Room[];
  /** Invites of strangers that wait for an answer, the newest first, at most 100; absent when there are none. */
  invites?: Invite[];
  /** The direct rooms that are not listed, which `directs` pages; absent when there are none. */
  more_directs?: MoreDirects;
}

/** The caller, in `welcome`. */
export interface OwnUser {
  /** The user's id. */
  id: number;
  /** The unique name. */
  username: string;
  /** The display name. */
  nickname: string;
  /** A picture's address, or empty. */
  avatar: string;
  /** The caller's role on the whole server. */
  role: UserRole;
}

/** The other user of a direct room. */
export interface Peer {
  /** The user's id. */
  id: number;
  /** The unique name. */
  username: string;
  /** The display name. */
  nickname: string;
  /** A picture's address, or empty. */
  avatar: string;
  /** Whether they were online at this moment; `presence` reports changes. */
  online: boolean;
  /** The seq of the last message that they read. */
  read_seq: number;
}

/** A user as others see them. */
export interface Person {
  /** The user's id. */
  id: number;
  /** The unique name. */
  username: string;
  /** The display name. */
  nickname: string;
  /** A picture's address, or empty. */
  avatar: string;
}

/** `POST /api/server/rooms/:id/messages`. */
export interface Post {
  /** The text: 1 to 4000 characters (Unicode scalar values) after trimming. */
  content: string;
  /** The user who sends it; absent and null: the site itself. */
  as?: number | null;
  /**
   * The backend's own reference, unless it is in `Idempotency-Key`. The server stores a message once, however
   * often the backend sends it.
   */
  client_id?: string | null;
}

/** A message that a site stored. */
export interface Posted {
  /** The same as `id`. */
  message_id: number;
  /** Its id. */
  id: number;
  /** Its place in the room. */
  seq: number;
  /** The version that it took when the server stored it. */
  version: number;
  /** The time of the commit. */
  send_time: string;
  /** An earlier request with the same `client_id` stored it. */
  duplicate?: boolean;
}

/** Who came online and went offline in a room whose presence the client subscribed to. */
export interface Presence {
  /** The room. */
  room: number;
  /** Users who came online. */
  online: number[];
  /** Users who went offline. */
  offline: number[];
  /** The number of members online. */
  count: number;
  /** Too many changes to list: the client asks again. */
  refresh?: boolean;
}

/** `presence`: the members of a room who are online. */
export interface PresenceNow {
  /** Ids in order; empty in large rooms, which only count. */
  online: number[];
  /** The number of members online. */
  count: number;
  /** Whether `online` leaves members out. */
  truncated: boolean;
}

/** A message of a conversation, as one of its two users sees it, live or from history. */
export interface PrivateMessage {
  id: number;
  conversation_id: number;
  sender: Person;
  receiver: Person;
  content: string;
  is_read: boolean;
  is_self: boolean;
  created_at: string;
}

/** `POST /api/messages/send`. */
export interface PrivateMessageDraft {
  /** The receiver's user id. */
  receiver_id: number;
  /** The text, measured after trimming. */
  content: string;
}

/** `POST /api/messages/send`. */
export interface PrivateSent {
  message_id: number;
  conversation_id: number;
}

/** The inner part of [`ProfileBody`]. */
export interface ProfileFields {
  /** A few words about the user, or empty. */
  bio?: string | null;
  /** The display name; empty means the username again. */
  nickname?: string | null;
}

export interface ProfilePart {
  nickname: string;
  bio: string;
  avatar_url: string;
}

/** `PUT /api/auth/me`; what is absent or null stays as it is. */
export interface ProfileUpdate {
  /** A picture's address, or empty. */
  avatar?: string | null;
  /** The rest of the profile. */
  profile?: ProfileFields | null;
}

/** `GET /api/user/:id`: what every user may see of another. */
export interface PublicUser {
  id: number;
  username: string;
  nickname: string;
  avatar: string;
  role: UserRole;
  profile: ProfilePart;
  created_at: string;
}

/** `POST /api/server/publish`. */
export interface Publication {
  /** The receivers. */
  to: PublishTo;
  /** The envelope's type: 1 to 64 letters, digits, `_`, `-`, `.` and `:`; none of the server's own. */
  type: string;
  /** The envelope's data; absent and null are an empty object. */
  data?: Record<string, unknown> | null;
}

/** The receivers of a publication: exactly one of the fields. */
export type PublishTo =
  | { all: true; room?: null; users?: null }
  | { users: number[]; all?: null; room?: null }
  | { room: number; all?: null; users?: null };

/** A change of a message's reactions. */
export type ReactionChange = { kind: 'react'; user: number; emoji: string; on: boolean };

/** A message's reactions changed. The message itself is not repeated, since it can be many times as long. */
export interface ReactionsChange {
  /** The message. */
  id: number;
  /** Its room. */
  room: number;
  /** The version of the room with this change. */
  version: number;
  /** The number of reactions after it, by emoji. */
  reactions: Record<string, number>;
  /** The change. */
  change: ReactionChange;
}

/** A user has read a room up to a seq. */
export interface Read {
  /** The room. */
  room: number;
  /** The user. */
  user: number;
  /** The seq of the last message that the user read. */
  seq: number;
}

/** `POST /api/auth/refresh`. */
export interface Refreshed {
  token: string;
  expires_at: string;
}

/** Why the server refused a request. */
export interface Refusal {
  /** The stable code. */
  code: ErrorCode;
  /** A sentence for a person. */
  message: string;
  /** The field of the request that is wrong. */
  field?: string;
  /** The shortest delay after which a retry can succeed. */
  retry_after_ms?: number;
}

/** `POST /api/auth/register`. */
export interface Register {
  /** The unique name: letters and digits of any script, `_`, `-` and `.`. */
  username: string;
  /** At least one letter and one digit. */
  password: string;
  /** The e-mail address. */
  email: string;
}

/** The caller is no longer in this room. */
export interface Removed {
  /** The room. */
  room: number;
}

/** `auth`: the life of the fresh token. */
export interface Renewed {
  /** In milliseconds. */
  expires_in_ms: number;
}

/** The rights of a member in one room. */
export type Role = 'member' | 'moderator' | 'owner';

/** A room as one of its members sees it. */
export interface Room {
  /** The room. A direct room's id is the classic dialect's `conversation_id`. */
  id: number;
  /** Who may join it. */
  kind: RoomKind;
  /** The unique name; direct rooms have none. */
  name: string | null;
  /** The heading; may be empty. */
  title: string;
  /** Its version. It moves no cursor of a client that holds the room. */
  version: number;
  /** The seq of its newest message. */
  last_seq: number;
  /** The seq of the last message that the caller read. */
  read_seq: number;
  /** Messages of others above it, without deleted ones, capped at 999. */
  unread: number;
  /** The number of members. */
  members: number;
  /** The caller's role in it. */
  role: Role;
  /** The caller may not write here at present. */
  muted: boolean;
  /** The newest message that is not deleted; its text is cut after 200 characters. */
  last_message?: Message;
  /** The other user of a direct room. */
  peer?: Peer;
  /** Only in the answer to `invite`: the caller is a stranger to the user, and the invite waits for an answer. */
  pending?: boolean;
  /** The read marks of the others, by user id; in private rooms of at most 50 members. */
  reads?: Record<string, number>;
  /** A direct room that is a stranger's request, until the caller writes there, accepts or declines it. */
  request?: boolean;
}

/** A public room as users outside of it see it. */
export interface RoomCard {
  /** The room. */
  id: number;
  /** Its unique name. */
  name: string;
  /** The heading; may be empty. */
  title: string;
  /** The number of members. */
  members: number;
}

/** `rooms`: a page of public rooms that the caller could join. */
export interface RoomCards {
  /** In the order of their ids. */
  rooms: RoomCard[];
  /** `after` of the next page; null on the last page. A page before it may be short or empty. */
  next: number | null;
}

/** Who may be in a room. */
export type RoomKind = 'public' | 'private' | 'direct';

/** `POST /api/chat/send`. */
export interface Sent {
  message_id: number;
  send_time: string;
}

/** A user's number, which some backends write as a string. */
export type SiteId = number | string;

/** A user of a site; what is absent or null stays as it is. */
export interface SiteUser {
  /** The unique name, 1 to 50 characters; a taken one gets a suffix. */
  username: string;
  /** A picture's address, or empty. */
  avatar?: string | null;
  /** A few words about the user, or empty. */
  bio?: string | null;
  /** The e-mail address, or empty. */
  email?: string | null;
  /** The site's number for the user, which is `sub` of its tokens. */
  id?: SiteId | null;
  /** The display name; empty means the username again. */
  nickname?: string | null;
  /** The site's name for the user, where it has no number. */
  subject?: string | null;
}

/** The users that a site created or updated. */
export interface SiteUsers {
  users: Person[];
}

/** `POST /api/conversations/start/:userId`. */
export interface Started {
  conversation_id: number;
}

/** `message`: the stored message. The server sends this only when it is durable. */
export interface Stored {
  /** Its id. */
  id: number;
  /** Its place in the room. */
  seq: number;
  /** The version that it took when the server stored it. */
  version: number;
  /** The time of the commit. */
  send_time: string;
  /** An earlier request with the same `client_id` stored it. */
  duplicate?: boolean;
}

/** A notice of the server itself. */
export interface System {
  /** A stable code, such as `events_missed`. */
  code: string;
  /** A sentence for a person. */
  message: string;
}

/** All users who are typing in a room. */
export interface Typing {
  /** The room. */
  room: number;
  /** Their ids; empty when the last one stops. */
  users: number[];
}

/** `GET /api/conversations/unread-count`. */
export interface UnreadCount {
  /** The sum over all conversations. */
  unread_count: number;
}

/** The rights of a user on the whole server. */
export type UserRole = 'user' | 'moderator' | 'admin';

/** `users`: a page of users whose name matches the query. */
export interface Users {
  /** In the order of their ids. */
  users: Person[];
  /** `after` of the next page; null on the last page. */
  next: number | null;
}

/** The response to `hello`. */
export interface Welcome {
  /** The session; it changes with each reconnect. */
  session: number;
  /** The epoch: the name of this history, which changes with a restore. */
  epoch: string;
  /** The caller. */
  user: OwnUser;
  /** The server's time. */
  time: string;
  /** After this time without other traffic, the client sends a heartbeat. */
  heartbeat_ms: number;
  /** The rest of the token's life. */
  token_expires_in_ms: number;
  /** The limits of this server. */
  limits: Limits;
  /** The number of users online. */
  online: OnlineCount;
  /**
   * All public and private rooms, and of the direct ones the 200 with the newest messages and those that `hello`
   * named; in the order of their ids. A room that `hello` did not name is live from its `version` on.
   */
  rooms: Room[];
  /** Invites of strangers that wait for an answer, the newest first, at most 100; absent when there are none. */
  invites?: Invite[];
  /** The direct rooms that are not listed, which `directs` pages; absent when there are none. */
  more_directs?: MoreDirects;
}
