/** A form that is being sent: once at a time, with what was wrong said at the fields. */
import { useRef, useState } from 'react';
import type { FormEvent } from 'react';
import { ApiError, messageOf } from '../api/client';

interface Submit {
  busy: boolean;
  /** What is wrong with the whole of it; empty when only single fields are wrong. */
  problem: string;
  fields: Readonly<Record<string, string>>;
  onSubmit: (event: FormEvent<HTMLFormElement>) => void;
}

export function useSubmit(send: (form: FormData) => Promise<void>): Submit {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  const [fields, setFields] = useState<Readonly<Record<string, string>>>({});
  const underWay = useRef(false);

  async function submit(form: HTMLFormElement) {
    if (underWay.current) return;
    underWay.current = true;
    setBusy(true);
    try {
      await send(new FormData(form));
      setProblem('');
      setFields({});
    } catch (error) {
      const wrong = error instanceof ApiError ? error.fields : {};
      setFields(wrong);
      setProblem(Object.keys(wrong).length > 0 ? '' : messageOf(error));
      const first = Object.keys(wrong).map((name) => form.elements.namedItem(name)).find((element) => element instanceof HTMLElement);
      first?.focus();
    } finally {
      underWay.current = false;
      setBusy(false);
    }
  }

  return {
    busy,
    problem,
    fields,
    onSubmit(event) {
      event.preventDefault();
      void submit(event.currentTarget);
    },
  };
}

export function textOf(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === 'string' ? value.trim() : '';
}
