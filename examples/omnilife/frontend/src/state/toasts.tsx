/** Short messages at the foot of the page. An error stays until it is put away; the rest leaves by itself. */
import { createContext, useCallback, useContext, useEffect, useMemo, useRef, useState } from 'react';
import type { ReactNode } from 'react';
import { Icon } from '../components/Icon';

export interface Toast {
  kind: 'note' | 'error';
  text: string;
  action?: { label: string; run: () => void };
}

type Shown = Toast & { id: number };

export const NOTE_STAYS_MS = 6000;
const AT_MOST = 3;

const ToastContext = createContext<((toast: Toast) => void) | null>(null);

export function Toasts({ children }: { children: ReactNode }) {
  const [shown, setShown] = useState<Shown[]>([]);
  const next = useRef(1);
  const show = useCallback((toast: Toast) => {
    const id = next.current;
    next.current += 1;
    setShown((before) => [...before.filter(({ text }) => text !== toast.text), { ...toast, id }].slice(-AT_MOST));
  }, []);
  const away = useCallback((id: number) => setShown((before) => before.filter((toast) => toast.id !== id)), []);
  const errors = useMemo(() => shown.filter(({ kind }) => kind === 'error'), [shown]);
  const notes = useMemo(() => shown.filter(({ kind }) => kind === 'note'), [shown]);
  return (
    <ToastContext.Provider value={show}>
      {children}
      <div className="toasts">
        <div role="alert">
          {errors.map((toast) => <Message key={toast.id} toast={toast} away={away} />)}
        </div>
        <div role="status">
          {notes.map((toast) => <Message key={toast.id} toast={toast} away={away} />)}
        </div>
      </div>
    </ToastContext.Provider>
  );
}

export function useToast(): (toast: Toast) => void {
  const show = useContext(ToastContext);
  if (show === null) throw new Error('useToast outside of Toasts');
  return show;
}

function Message({ toast, away }: { toast: Shown; away: (id: number) => void }) {
  const { id, kind, text, action } = toast;
  useEffect(() => {
    if (kind === 'error') return undefined;
    const timer = window.setTimeout(() => away(id), NOTE_STAYS_MS);
    return () => window.clearTimeout(timer);
  }, [id, kind, away]);
  return (
    <div className={`toast ${kind}`}>
      <p>{text}</p>
      {action && (
        <button type="button" className="quiet" onClick={() => { away(id); action.run(); }}>{action.label}</button>
      )}
      <button type="button" className="icon" aria-label="Put this message away" onClick={() => away(id)}>
        <Icon name="close" />
      </button>
    </div>
  );
}
