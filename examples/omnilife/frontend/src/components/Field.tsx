import { useId } from 'react';
import type { InputHTMLAttributes, TextareaHTMLAttributes } from 'react';

interface Around {
  label: string;
  hint?: string | undefined;
  /** What is wrong with it. */
  error?: string | undefined;
}

type FieldProps = Around & InputHTMLAttributes<HTMLInputElement>;
type AreaProps = Around & TextareaHTMLAttributes<HTMLTextAreaElement>;

export function Field({ label, hint, error, ...input }: FieldProps) {
  const { id, describedBy, frame } = useAround({ label, hint, error });
  return frame(<input id={id} aria-describedby={describedBy} aria-invalid={error ? true : undefined} {...input} />);
}

export function Area({ label, hint, error, ...area }: AreaProps) {
  const { id, describedBy, frame } = useAround({ label, hint, error });
  return frame(<textarea id={id} aria-describedby={describedBy} aria-invalid={error ? true : undefined} {...area} />);
}

function useAround({ label, hint, error }: Around) {
  const id = useId();
  const about = `${id}-about`;
  const text = error ?? hint;
  return {
    id,
    describedBy: text ? about : undefined,
    frame: (control: JSX.Element) => (
      <div className="field">
        <label htmlFor={id}>{label}</label>
        {control}
        {text && <p id={about} className={error ? 'wrong' : 'hint'}>{text}</p>}
      </div>
    ),
  };
}
