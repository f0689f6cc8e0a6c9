import '@testing-library/jest-dom';

if (typeof window !== 'undefined') {
  // What jsdom has not: opening a dialog, and scrolling.
  HTMLDialogElement.prototype.showModal = function showModal() { this.open = true; };
  HTMLDialogElement.prototype.close = function close() { this.open = false; };
  window.scrollTo = () => undefined;

  beforeEach(() => {
    localStorage.clear();
    history.replaceState(null, '', '/');
    document.documentElement.removeAttribute('data-theme');
  });
}
