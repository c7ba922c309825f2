// Live parts of the user panel: delivery reports come over a WebSocket, the
// balance over server-sent events.
"use strict";

const live = document.getElementById("live");
const say = (state, text) => {
  live.dataset.state = state;
  live.querySelector("span").textContent = text;
};

let pause = 2000;
const connect = () => {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.onopen = () => {
    pause = 2000;
    say("on", "live");
  };
  socket.onmessage = (event) => {
    const { message } = JSON.parse(event.data);
    if (!message) return;
    const state = document.querySelector(`[data-message="${Number(message.id)}"] .state`);
    if (!state) return;
    state.dataset.state = message.state;
    state.textContent = message.state;
  };
  socket.onclose = () => {
    say("off", "connection lost");
    setTimeout(connect, pause);
    pause = Math.min(pause * 2, 60000);
  };
};
if (live) connect();

const balance = document.getElementById("balance");
if (balance) {
  new EventSource("/events").onmessage = (event) => {
    balance.textContent = event.data;
  };
}
