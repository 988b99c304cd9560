// Hocuspocus as its documentation sets it up. With a file it keeps documents there, with its own SQLite extension.
import { SQLite } from "@hocuspocus/extension-sqlite";
import { Server } from "@hocuspocus/server";

const [port, file] = process.argv.slice(2);

const server = new Server({
  port: Number(port),
  address: "127.0.0.1",
  quiet: true,
  extensions: file ? [new SQLite({ database: file })] : [],
});
await server.listen();
