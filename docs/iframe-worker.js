/* The search of pages that are opened as files. Browsers refuse workers there, so the worker's
   script runs in a hidden frame, with the same messages. Served pages use a real worker. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.srcdoc = "<body></body>";
      frame.onload = () => this.start(frame.contentWindow, url);
      document.body.append(frame);
    }

    start(inner, url) {
      inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inner.importScripts = () => Promise.resolve(); // stemmers of languages that are not used
      const script = inner.document.createElement("script");
      script.src = url;
      script.onload = () => {
        this.postMessage = (data) =>
          inner.dispatchEvent(new inner.MessageEvent("message", { data }));
        this.waiting.forEach(this.postMessage);
      };
      inner.document.body.append(script);
    }

    postMessage(data) {
      this.waiting.push(data);
    }
  };
}
