/** The browser's own dialog: it keeps the focus inside, closes on Escape, and gives the focus back. */
import { useEffect, useId, useRef } from 'react';
import type { ReactNode } from 'react';
import { Icon } from './Icon';

interface DialogProps {
  title: string;
  close: () => void;
  children: ReactNode;
}

export function Dialog({ title, close, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const element = dialog.current;
    if (element && !element.open) element.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby={id} onCancel={(event) => { event.preventDefault(); close(); }}>
      <div className="dialog-top">
        <h2 id={id}>{title}</h2>
        <button type="button" className="icon" aria-label="Close" onClick={close}><Icon name="close" /></button>
      </div>
      {children}
    </dialog>
  );
}
