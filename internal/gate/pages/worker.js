onmessage = (event) => {
  "use strict";
  const step = solver(event.data.text, event.data.bits);
  for (let tried = 0; ; ) {
    const found = step(8192);
    tried += 8192;
    postMessage({ tried, found });
    if (found) return;
  }
};
