// What a client and the server say to each other, in the v1 dialect and the server API; docs/protocol.md says
// what it means. Made by `make types` from crates/protocol: change it there.

/** The subprotocol to offer when the WebSocket is opened. */
export const SUBPROTOCOL = 'teahouse.v1';

/** Why something is refused: the HTTP status, and whether asking the very same again later can help. */
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

/** A stable word for why something was refused. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** Why the server closes a socket. */
export const CloseCode = {
  /** Done */
  Done: 1000,
  /** Protocol error */
  ProtocolError: 1002,
  /** Binary frames are not spoken here */
  Binary: 1003,
  /** Text is not UTF-8 */
  NotUtf8: 1007,
  /** Refused by policy */
  Policy: 1008,
  /** Frame over 64 KiB */
  TooLarge: 1009,
  /** An error of ours */
  Internal: 1011,
  /** Restart: come back */
  Restart: 1012,
  /** Overloaded: come back later */
  Overloaded: 1013,
  /** Nothing could be sent for too long */
  Stalled: 4000,
  /** No sign of life after a ping */
  NoSignOfLife: 4001,
  /** No hello in time */
  NoHello: 4002,
  /** Token expired: get a new one, then come back */
  Expired: 4101,
  /** Unauthorized: connected elsewhere */
  Displaced: 4501,
  /** Disconnected by the site */
  Banned: 4502,
  /** Token revoked: log in again */
  Revoked: 4503,
  /** Too many bad envelopes */
  Malformed: 4504,
} as const;
export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

/**
 * Whether a client comes back by itself. Of a code that is not here: from 4000 to 4499 it does, from 4500 to 4999
 * it does not.
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

// ── What a client asks ──

/** The first envelope of a session, within 10 s. The answer is `welcome`, and there is no `ack`. */
export interface HelloRequest {
  /** What speaks, and in which version; for the operator's eyes. */
  client?: string | null;
  /** The epoch in which `rooms` were held; absent on a first visit. */
  epoch?: string | null;
  /** The rooms that the client holds, most wanted first; absent on a first visit. */
  rooms?: HeldRoom[] | null;
}

/** Says something in a room. */
export interface MessageRequest {
  /** Where. */
  room: number;
  /** The text: 1 to 4000 characters (Unicode scalar values) after trimming. */
  content: string;
  /** The client's own reference, 1 to 64 characters: the same one again stores nothing twice, for ever. */
  client_id: string;
  /** The message of the same room that this one answers. */
  reply_to?: number | null;
}

/** Puts another content in the place of an own message's. */
export interface EditRequest {
  /** Which one. */
  message: number;
  /** The text: 1 to 4000 characters (Unicode scalar values) after trimming. */
  content: string;
}

/** Deletes a message: an own one, or with a moderator's right. */
export interface DeleteRequest {
  /** Which one. */
  message: number;
}

/** Reacts to a message, or takes the reaction back. */
export interface ReactRequest {
  /** To which one. */
  message: number;
  /** With what. */
  emoji: string;
  /** Whether it is to be there. */
  on: boolean;
}

/** Moves one's read mark of a room forward; it never goes back. */
export interface ReadRequest {
  /** Of which room. */
  room: number;
  /** Up to which message's place. */
  seq: number;
}

/** Reads a page of a room's messages: the newest, or those around a place. Moves no cursor. */
export interface HistoryRequest {
  /** Of which room. */
  room: number;
  /** The oldest ones above this seq. */
  after?: number | null;
  /** Those on both sides of this seq. */
  around?: number | null;
  /** The newest ones below this seq. */
  before?: number | null;
  /** At most so many, from 1 up; 50 when absent, and more than 100 is 100. */
  limit?: number | null;
}

/** Asks for a room's changes since a version once more. The answer comes behind the bracket's `caught_up`. */
export interface SyncRequest {
  /** Which room. */
  room: number;
  /** The last version of it that the client applied. */
  since: number;
}

/** Asks who is online in a room and who comes and goes, or no longer. */
export interface PresenceRequest {
  /** In which room. */
  room: number;
  /** Whether to be told from now on. */
  on: boolean;
}

/** Says that one is typing in a room, or no longer. Expires after 5 s. */
export interface TypingRequest {
  /** In which room. */
  room: number;
  /** Whether one is. */
  on: boolean;
}

/** Looks for public rooms that one could join. */
export interface RoomsRequest {
  /** The `next` of the page before. */
  after?: number | null;
  /** What the name or the title contains; any, when absent. */
  query?: string | null;
}

/** Makes a room, as its owner. */
export interface CreateRequest {
  /** Who may be in it. */
  kind: MadeRoomKind;
  /** Its unique name, 1 to 50 characters; a room needs one. */
  name?: string | null;
  /** Its heading, at most 200 characters; may be empty. */
  title?: string | null;
}

/** Changes what is given of a room's name and title. */
export interface UpdateRequest {
  /** Which room. */
  room: number;
  /** Its unique name, 1 to 50 characters. */
  name?: string | null;
  /** Its heading, at most 200 characters; may be empty. */
  title?: string | null;
}

/** Comes into a public room. Reading starts at its head. */
export interface JoinRequest {
  /** Which room. */
  room: number;
}

/** Goes out of a room. */
export interface LeaveRequest {
  /** Which room. */
  room: number;
}

/** Brings somebody into a room. */
export interface InviteRequest {
  /** Which room. */
  room: number;
  /** Whom. */
  user: number;
}

/** Takes somebody out of a room. */
export interface RemoveRequest {
  /** Which room. */
  room: number;
  /** Whom. */
  user: number;
}

/** Gives a member of a room a role. */
export interface RoleRequest {
  /** In which room. */
  room: number;
  /** Whom. */
  user: number;
  /** Which one. */
  role: Role;
}

/** Opens the direct room with somebody, which is made when there is none. */
export interface OpenRequest {
  /** With whom. */
  user: number;
}

/** Asks who is in a room. */
export interface MembersRequest {
  /** In which room. */
  room: number;
  /** The `next` of the page before. */
  after?: number | null;
}

/** Looks for people. */
export interface UsersRequest {
  /** The `next` of the page before. */
  after?: number | null;
  /** How the username or the nickname begins. */
  query?: string | null;
}

/** Shows a fresh token of the same user, so that the session outlives the old one. */
export interface AuthRequest {
  /** The token. */
  token: string;
}

/** A sign of life. */
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
  create: CreateRequest;
  update: UpdateRequest;
  join: JoinRequest;
  leave: LeaveRequest;
  invite: InviteRequest;
  remove: RemoveRequest;
  role: RoleRequest;
  open: OpenRequest;
  members: MembersRequest;
  users: UsersRequest;
  auth: AuthRequest;
  heartbeat: HeartbeatRequest;
}

/** The `data` of every request's `ack`; `hello` is answered by `welcome`. */
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
  create: Room;
  update: Room;
  join: Room;
  leave: Room;
  invite: Room;
  remove: Room;
  role: Room;
  open: Room;
  members: Members;
  users: Users;
  auth: Renewed;
  heartbeat: Beat;
}

// ── What the server sends ──

/** The `data` of everything that comes of itself, by its type. */
export interface EventData {
  catch_up: CatchUp;
  caught_up: CaughtUp;
  message: Message;
  read: Read;
  typing: Typing;
  presence: Presence;
  online_count: OnlineCount;
  room: Room;
  removed: Removed;
  user: Person;
  system: System;
  goodbye: Goodbye;
}

/** What goes to the server: under an `id` it is answered with the same `id`, once. */
export type ClientEnvelope = {
  [Type in keyof RequestData]: { type: Type; id?: string; data: RequestData[Type] };
}[keyof RequestData];

/** What comes of itself. */
export type EventEnvelope = {
  [Type in keyof EventData]: { type: Type; data: EventData[Type] };
}[keyof EventData];

/** The answer to `hello`; its `id` is that one's. */
export interface WelcomeEnvelope {
  type: 'welcome';
  id?: string;
  data: Welcome;
}

/** What was asked under this `id` is done. Only a `heartbeat` is answered without one, when it had none. */
export interface AckEnvelope<Type extends keyof AckData = keyof AckData> {
  type: 'ack';
  id?: string;
  data: AckData[Type];
}

/** What was asked, under this `id` if it had one, was refused. It never half-happened. */
export interface ErrorEnvelope {
  type: 'error';
  id?: string;
  data: Refusal;
}

/** Everything that comes from the server, but for what a site's backend publishes. */
export type ServerEnvelope = EventEnvelope | WelcomeEnvelope | AckEnvelope | ErrorEnvelope;

/** What a site's backend publishes: its type is none of the server's own. */
export interface PublishedEnvelope {
  type: string;
  data: Record<string, unknown>;
}

// ── The shapes in both ──

/** `heartbeat`: the time. */
export interface Beat {
  /** By the server's clock. */
  time: string;
}

/** The bracket opens: what follows of this room, up to `caught_up`, is what changed after version `from`. */
export interface CatchUp {
  /** Which room. */
  room: number;
  /** The version after which the changes follow. */
  from: number;
  /** The room is begun anew: what was held of it is dropped, and its newest messages follow. */
  reset: boolean;
}

/** The bracket closes: the client holds the room as it was at this version, and live envelopes go on from there. */
export interface CaughtUp {
  /** Which room. */
  room: number;
  /** Where the client's cursor stands now. */
  version: number;
  /** One's own reactions to the messages of this bracket: the emoji, by message id. */
  my_reactions: Record<string, string[]>;
}

/** What just happened to a message. */
export type Change =
  | { kind: 'new' }
  | { kind: 'edit'; user: number }
  | { kind: 'delete'; user: number }
  | { kind: 'react'; user: number; emoji: string; on: boolean };

/** `edit`, `delete`, `react`: the version that the change took. */
export interface Changed {
  /** Of the room; a change that was so already has the version of the message as it is. */
  version: number;
}

/** `GET …/changes`: what changed in a room since a version, all at once. */
export interface Changes {
  /** The name of this history: what is held of another one is worth nothing here. */
  epoch: string;
  /** The room is begun anew: these are its newest messages, and what was held of it is to be dropped. */
  reset: boolean;
  /** In version order, each in its current state, deleted ones too. */
  messages: Message[];
  /** The room's version with these: what `since` is to be the next time. */
  version: number;
  /** One's own reactions to these messages: the emoji, by message id. */
  my_reactions: Record<string, string[]>;
}

/** `POST /api/server/disconnect`. */
export interface Disconnect {
  /** Whose sockets close. */
  user_id: number;
  /** What the user is told, at most 100 bytes; a word of the server's when absent or empty. */
  reason?: string | null;
}

/** The socket is about to be closed. */
export interface Goodbye {
  /** The code of the close frame that follows. */
  code: number;
  /** Its reason. */
  reason: string;
  /** Whether the client is to come back by itself. */
  reconnect: boolean;
  /** After how long; this client's own. 0 where it is not to come back. */
  retry_ms: number;
}

/** A room that a returning client holds. */
export interface HeldRoom {
  /** Which room. */
  room: number;
  /** The last version of it that the client applied. */
  version: number;
}

/** `history`: a page of a room, oldest first. */
export interface History {
  /** Oldest first, deleted ones too: they keep their places. */
  messages: Message[];
  /** Whether there are older ones. */
  has_more_before: boolean;
  /** Whether there are newer ones. */
  has_more_after: boolean;
  /** One's own reactions to these messages: the emoji, by message id. */
  my_reactions: Record<string, string[]>;
}

/** What a client should know of the bounds here, in `welcome`. */
export interface Limits {
  /** Characters (Unicode scalar values) of a message. */
  content_chars_max: number;
  /** Bytes of a frame. */
  frame_bytes_max: number;
  /** Messages a second. */
  sends_per_second: number;
  /** Messages at once. */
  sends_burst: number;
  /** Other envelopes a second. */
  envelopes_per_second: number;
  /** Other envelopes at once. */
  envelopes_burst: number;
  /** Messages in a page of history. */
  history_messages_max: number;
}

/** Which rooms one can make; direct ones are opened. */
export type MadeRoomKind = 'public' | 'private';

/** `read`: where the mark is now. */
export interface Marked {
  /** Up to here the room is read. */
  read_seq: number;
  /** Others' messages above that, not deleted, capped at 999. */
  unread: number;
}

/** Somebody who is in a room. */
export interface Member {
  /** The user's id. */
  id: number;
  /** The unique name. */
  username: string;
  /** The name that is shown. */
  nickname: string;
  /** A picture's address, or empty. */
  avatar: string;
  /** What they may do in it. */
  role: Role;
}

/** `members`: a page of who is in a room. */
export interface Members {
  /** In the order of their ids. */
  members: Member[];
  /** What `after` is to be for the next page; null at the end. */
  next: number | null;
}

/** A message, wherever it appears: in its current state. */
export interface Message {
  /** Unique over all rooms; the same number in both dialects. */
  id: number;
  /** Where it was said. */
  room: number;
  /** Its place in the room: 1, 2, 3 … in order of commit. */
  seq: number;
  /** The room's version that last changed it. */
  version: number;
  /** The sender's own reference. */
  client_id: string | null;
  /** Who said it, under the name that they have now. */
  sender: Person;
  /** The text; empty once deleted. */
  content: string;
  /** What sort of message it is. */
  kind: MessageKind;
  /** The message of the same room that this one answers. */
  reply_to: number | null;
  /** The members whom it names with `@username`, in the order of their ids. */
  mentions: number[];
  /** How many reacted, by emoji. */
  reactions: Record<string, number>;
  /** When it was last edited, if ever. */
  edited_at: string | null;
  /** A deleted message keeps its place with empty content. */
  deleted: boolean;
  /** When it was committed; never decreases within a room. */
  send_time: string;
  /** What just happened to it; in live envelopes only. */
  change?: Change;
}

/** What sort of message it is: said by a user, or a notice of the site. */
export type MessageKind = 'text' | 'system';

/** `typing`, and whatever else there is nothing to say about. */
export type Nothing = Record<string, never>;

/** Oneself, in `welcome`. */
export interface Oneself {
  /** The user's id. */
  id: number;
  /** The unique name. */
  username: string;
  /** The name that is shown. */
  nickname: string;
  /** A picture's address, or empty. */
  avatar: string;
  /** What one may do on the whole server. */
  role: UserRole;
}

/** Distinct users online. */
export interface OnlineCount {
  /** How many. */
  count: number;
}

/** `GET /api/server/presence`: who of those who were asked for is online. */
export interface OnlineNow {
  online: number[];
}

/** `GET /api/v1/rooms`: every room that one is in. */
export interface OwnRooms {
  /** In the order of their ids. */
  rooms: Room[];
}

/** The other one of a direct room. */
export interface Peer {
  /** The user's id. */
  id: number;
  /** The unique name. */
  username: string;
  /** The name that is shown. */
  nickname: string;
  /** A picture's address, or empty. */
  avatar: string;
  /** Whether they were online when this was written; `presence` keeps it true. */
  online: boolean;
  /** Up to where they have read. */
  read_seq: number;
}

/** Somebody, as shown beside their words. */
export interface Person {
  /** The user's id. */
  id: number;
  /** The unique name. */
  username: string;
  /** The name that is shown. */
  nickname: string;
  /** A picture's address, or empty. */
  avatar: string;
}

/** `POST /api/server/rooms/:id/messages`. */
export interface Post {
  /** The text: 1 to 4000 characters (Unicode scalar values) after trimming. */
  content: string;
  /** The user who says it; nobody: the site itself. */
  as?: number | null;
  /** Under which sending again stores nothing twice; may come as a header instead. */
  client_id?: string | null;
}

/** Where a site's message came to lie. */
export interface Posted {
  message_id: number;
  /** Its id. */
  id: number;
  /** Its place in the room. */
  seq: number;
  /** The version that it took when it was first stored. */
  version: number;
  /** When it was stored. */
  send_time: string;
  /** It had been stored before, by an earlier request with the same `client_id`. */
  duplicate?: boolean;
}

/** Who came and went in a room whose presence one asked for. */
export interface Presence {
  /** Which room. */
  room: number;
  /** Who is online now and was not. */
  online: number[];
  /** Who was online and is not. */
  offline: number[];
  /** How many are online. */
  count: number;
  /** Too much changed to be listed: ask again. */
  refresh?: boolean;
}

/** `presence`: who of a room is online now. */
export interface PresenceNow {
  /** Ids, in order; empty where presence only counts. */
  online: number[];
  /** How many are online. */
  count: number;
  /** Whether `online` leaves people out. */
  truncated: boolean;
}

/** `POST /api/server/publish`. */
export interface Publication {
  /** To whom. */
  to: PublishTo;
  /** The envelope's type: 1 to 64 letters, digits, `_`, `-`, `.` and `:`; none of the server's own. */
  type: string;
  /** The envelope's data; absent and null are an empty object. */
  data?: Record<string, unknown> | null;
}

/** To whom something is published: exactly one of these. */
export interface PublishTo {
  /** `true`: everybody who is connected. */
  all?: boolean | null;
  /** The members of a room who are connected. */
  room?: number | null;
  /** These users, at most 10,000. */
  users?: number[] | null;
}

/** Somebody has read a room up to a seq. */
export interface Read {
  /** Which room. */
  room: number;
  /** Who. */
  user: number;
  /** Up to which message's place. */
  seq: number;
}

/** What was refused, and why, as a v1 client is told. */
export interface Refusal {
  /** The stable word. */
  code: ErrorCode;
  /** A sentence for a person. */
  message: string;
  /** What in the request it is about. */
  field?: string;
  /** Nothing before this long will pass. */
  retry_after_ms?: number;
}

/** One is no longer in this room. */
export interface Removed {
  /** Which room. */
  room: number;
}

/** `auth`: how long the fresh token is good. */
export interface Renewed {
  /** In milliseconds. */
  expires_in_ms: number;
}

/** What a member may do in one room. */
export type Role = 'member' | 'moderator' | 'owner';

/** A room as one of its members sees it. */
export interface Room {
  /** The room. A direct room's id is the classic dialect's `conversation_id`. */
  id: number;
  /** Who may be in it. */
  kind: RoomKind;
  /** The unique name; direct rooms have none. */
  name: string | null;
  /** What is shown as its heading; may be empty. */
  title: string;
  /** Its version. Moves no cursor of a client that holds the room already. */
  version: number;
  /** The seq of its newest message. */
  last_seq: number;
  /** Up to where one has read it. */
  read_seq: number;
  /** Others' messages above that, not deleted, capped at 999. */
  unread: number;
  /** How many are in it. */
  members: number;
  /** What one may do in it. */
  role: Role;
  /** One may not write here for the time being. */
  muted: boolean;
  /** The newest message that is not deleted, if there is one. */
  last_message?: Message;
  /** In a direct room: the other one. */
  peer?: Peer;
  /** Up to where the others have read, by user id; in private rooms of at most 50 members. */
  reads?: Record<string, number>;
}

/** A public room as somebody sees it who is not in it. */
export interface RoomCard {
  /** The room. */
  id: number;
  /** Its unique name. */
  name: string;
  /** Its heading; may be empty. */
  title: string;
  /** How many are in it. */
  members: number;
}

/** `rooms`: a page of public rooms that one could join. */
export interface RoomCards {
  /** In the order of their ids. */
  rooms: RoomCard[];
  /** What `after` is to be for the next page; null at the end. */
  next: number | null;
}

/** Who may be in a room. */
export type RoomKind = 'public' | 'private' | 'direct';

/** A user's number, as some backends write it. */
export type SiteId = number | string;

/** What a site says of one of its users; what is absent or null stays as it is. */
export interface SiteUser {
  /** The unique name, 1 to 50 characters; one that is taken gets a suffix. */
  username: string;
  /** A picture's address, or empty. */
  avatar?: string | null;
  /** A few words, or empty. */
  bio?: string | null;
  /** The e-mail address. */
  email?: string | null;
  /** The site's number for the user, as its tokens' `sub` has it. */
  id?: SiteId | null;
  /** The name that is shown; empty means the username again. */
  nickname?: string | null;
  /** The site's name for the user, where it has no number. */
  subject?: string | null;
}

/** The users that a site made or updated. */
export interface SiteUsers {
  users: Person[];
}

/** `message`: where it came to lie. Sent only when that is durable. */
export interface Stored {
  /** Its id. */
  id: number;
  /** Its place in the room. */
  seq: number;
  /** The version that it took when it was first stored. */
  version: number;
  /** When it was stored. */
  send_time: string;
  /** It had been stored before, by an earlier request with the same `client_id`. */
  duplicate?: boolean;
}

/** A notice of the server itself. */
export interface System {
  /** A stable word, such as `events_missed`. */
  code: string;
  /** A sentence for a person. */
  message: string;
}

/** All who are typing in a room now. */
export interface Typing {
  /** Which room. */
  room: number;
  /** Their ids; empty when nobody is any more. */
  users: number[];
}

/** What a user may do on the whole server. */
export type UserRole = 'user' | 'moderator' | 'admin';

/** `users`: a page of people whose name begins so. */
export interface Users {
  /** In the order of their ids. */
  users: Person[];
  /** What `after` is to be for the next page; null at the end. */
  next: number | null;
}

/** What a session begins with: the answer to `hello`. */
export interface Welcome {
  /** The session; another one after each reconnect. */
  session: number;
  /** The name of this history; another one after a restore. */
  epoch: string;
  /** Oneself. */
  user: Oneself;
  /** The server's time. */
  time: string;
  /** After so long without other traffic the client sends a heartbeat. */
  heartbeat_ms: number;
  /** How long the token is still good. */
  token_expires_in_ms: number;
  /** The bounds here. */
  limits: Limits;
  /** Who is online, all in all. */
  online: OnlineCount;
  /** Every room that one is in. One that `hello` did not name is live from its `version` on. */
  rooms: Room[];
}
