// What `ws` gives without any CRDT: each message goes to all connections of its path, its sender too.
import { WebSocketServer } from "ws";

const rooms = new Map();
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });

server.on("connection", (socket, request) => {
  const members = rooms.get(request.url) ?? new Set();
  rooms.set(request.url, members.add(socket));
  socket.on("message", (data) => {
    for (const member of members) member.send(data);
  });
  socket.on("close", () => {
    members.delete(socket);
    if (!members.size) rooms.delete(request.url);
  });
  socket.on("error", () => socket.terminate());
});
