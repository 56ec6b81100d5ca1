// Stands before the terminal's script: tells it where its socket is, gives it the keyboard, and
// tells the person why the socket closed.

const ENDED = "The console has ended.";
const LOST = "The connection to the console was lost. Does its server still run?";
const DONE = 1000; // the code of a socket that was closed in order

class Socket extends WebSocket {
  constructor(address) {
    super(address);
    this.addEventListener("open", () => document.querySelector("#terminal textarea").focus());
    this.addEventListener("close", (event) => {
      const why = event.reason || (event.code === DONE ? ENDED : LOST);
      document.getElementById("why").textContent = why;
      document.getElementById("again").focus();
    });
  }
}

window.WebSocket = Socket;

document.addEventListener("DOMContentLoaded", () => {
  const terminal = document.getElementById("terminal");
  terminal.dataset.sessionWebsocketUrl = `ws://${window.location.host}/ws`;
  document.getElementById("again").addEventListener("click", () => window.location.reload());
});
